(function () {
  "use strict";
  var table = document.getElementById("models"), body = table.tBodies[0];
  var rows = Array.prototype.slice.call(body.rows);
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var text = document.getElementById("search"), status = document.getElementById("status");
  var verdict = document.getElementById("verdict"), shown = document.getElementById("shown");
  rows.forEach(function (row) { row.words = row.textContent.toLowerCase(); });

  function filter() {
    var words = text.value.toLowerCase().split(/\s+/), count = 0;
    rows.forEach(function (row) {
      var there = (!status.value || row.dataset.status === status.value) &&
        (!verdict.value || row.dataset.verdict === verdict.value) &&
        words.every(function (word) { return row.words.indexOf(word) >= 0; });
      row.hidden = !there;
      count += there ? 1 : 0;
    });
    shown.textContent = count + " of " + rows.length + " models shown";
  }

  function value(row, place, numeric) {
    var cell = row.cells[place], given = cell.dataset.value;
    if (!numeric) { return cell.textContent.trim().toLowerCase() || null; }
    return given === "" || given === undefined ? null : Number(given);
  }

  function sort(place) {
    var head = heads[place], numeric = head.dataset.type === "number";
    var down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(function (one) { one.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var keyed = rows.map(function (row) { return [value(row, place, numeric), row]; });
    var collator = new Intl.Collator(undefined, { numeric: true });
    keyed.sort(function (a, b) {
      // What is not known stands last, whichever way.
      if (a[0] === null || b[0] === null) { return (a[0] === null) - (b[0] === null); }
      var order = numeric ? a[0] - b[0] : collator.compare(a[0], b[0]);
      return down ? -order : order;
    });
    rows = keyed.map(function (pair) { return pair[1]; });
    rows.forEach(function (row) { body.appendChild(row); });
  }

  heads.forEach(function (head, place) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", function () { sort(place); });
    head.textContent = "";
    head.appendChild(button);
  });
  [text, status, verdict].forEach(function (one) { one.addEventListener("input", filter); });
  document.getElementById("filters").hidden = false;
  filter();
})();
