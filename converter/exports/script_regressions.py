"""The part of a script that rebuilds a regression at given coefficients, as source text.

Each is what `converter.regression.pinned` does, in the words of statsmodels alone: ``results(y, X,
params, more)`` returns its results, whose summary `told` completes.
"""

from __future__ import annotations

TOLD = '''
def told(summary):
    """Say in a summary how the coefficients came about, where statsmodels says how it fits."""
    for row in summary.tables[0]:
        for cell, following in zip(row, [*row[1:], None]):
            text = str(cell.data).strip()
            if text in ("Least Squares", "IRLS"):
                cell.data = "Network weights"
            elif text == "converged:" and following is not None:
                following.data = "not fitted"
    note = "The coefficients are the weights of a network; they were not fitted to these rows."
    summary.add_extra_txt([*filter(None, [summary.extra_txt]), note])
    return summary
'''

LEAST_SQUARES = '''
class NetworkResults(OLSResults):
    """Results of least squares at coefficients that need not be the least-squares estimate."""

    @property
    def ess(self):
        """The explained sum of squares: over the scale, the Wald statistic of all slopes."""
        fitted = self.model.exog @ np.asarray(self.params)
        weights = np.broadcast_to(self.model.weights, fitted.shape)
        center = np.average(fitted, weights=weights) if self.k_constant else 0.0
        return weights @ (fitted - center) ** 2
{evaluation}

def results(y, X, params, more):
    """Return results at the network's coefficients."""
    model = {model}
    fit = model.fit()  # for what it derives from the columns
{df}    return NetworkResults(
        model,
        params,
        normalized_cov_params=fit.normalized_cov_params,
        cov_type={cov_type!r},
        cov_kwds={cov_kwds},
    )
'''

EVALUATION = """
    # Nothing was estimated from these rows.
    @property
    def aic(self):
        return -2.0 * self.llf

    @property
    def bic(self):
        return -2.0 * self.llf

    @property
    def rsquared_adj(self):
        return self.rsquared
"""

LIKELIHOOD = '''
def results(y, X, params, more):
    """Return results at the network's coefficients: a search of no steps from there."""
    model = sm.{model}(y, X, hasconst={constant})
{df}    made = model.fit(
        start_params=params,
        method="newton",
        maxiter=0,
        disp=False,
        warn_convergence=False,
    )
{robust}{null}    made._results.method = "Network weights"
    return made
'''

ROBUST = """    more_kwds = {cov_kwds} or {{}}
    get_robustcov_results(
        made._results, {cov_type!r}, use_self=True, **{{"use_t": False, **more_kwds}}
    )
"""

QUANTILE = '''
def results(y, X, params, more):
    """Return quantile-regression results at the network's coefficients.

    The sparsity is one over the residuals' density at the quantile (Epanechnikov's kernel, Hall
    and Sheather's bandwidth); rows that are fitted exactly count half to either side.
    """
    q = {q!r}
    model = QuantReg(y, X, hasconst={constant})
{df}    residual = np.asarray(y) - np.asarray(X) @ params
    z = norm.ppf(q)
    share = (
        len(y) ** (-1 / 3)
        * norm.ppf(0.975) ** (2 / 3)
        * (1.5 * norm.pdf(z) ** 2 / (2.0 * z**2 + 1.0)) ** (1 / 3)
    )
    while not share < min(q, 1.0 - q):
        share /= 2.0
    low, high = np.percentile(residual, [25, 75])
    reach = norm.ppf([q - share, q + share])
    bandwidth = min(np.std(y), (high - low) / 1.34) * (reach[1] - reach[0])
    near = residual[np.abs(residual) <= bandwidth] / bandwidth
    sparsity = len(y) * bandwidth / (0.75 * (1.0 - near**2).sum())
    # In columns of length one, which lose fewer digits.
    lengths = np.sqrt((X**2).sum(axis=0)).to_numpy()
    R = np.linalg.qr(np.asarray(X) / lengths, mode="r")
    inverse = np.linalg.inv(R) / lengths[:, None]
    weights = {weights}
    rows = np.asarray(X) @ inverse * weights[:, None]
    covariance = inverse @ (rows.T @ rows) @ inverse.T
    made = QuantRegResults(model, params, normalized_cov_params=covariance)
    made.q, made.iterations, made.sparsity, made.bandwidth = q, 0, sparsity, bandwidth
    made.history = {{"params": [params], "mse": []}}
    return made
'''

ROBUST_WEIGHTS = (
    "np.where(residual > 0, q, 1.0 - q) * sparsity\n"
    "    fitted = np.abs(residual) <= ROUNDINGS * (np.abs(np.asarray(X)) @ np.abs(params))\n"
    "    weights[fitted] = np.sqrt((q**2 + (1.0 - q) ** 2) / 2.0) * sparsity"
)
IID_WEIGHTS = "np.full(len(y), np.sqrt(q * (1.0 - q)) * sparsity)"

HUBER = '''
def results(y, X, params, more):
    """Return results of Huber's regression at the network's coefficients.

    The scale is the median absolute deviation from zero; the bend of the loss is the network's.
    """
    residual = np.asarray(y) - np.asarray(X) @ params
    scale = np.median(np.abs(residual)) / norm.ppf(0.75)
    model = RLM(y, X, M=HuberT(t={tuning!r} / scale))
    model.df_model, model.df_resid = float(X.shape[1] - 1), float({resid})
    lengths = np.sqrt((X**2).sum(axis=0)).to_numpy()
    R = np.linalg.qr(np.asarray(X) / lengths, mode="r")
    inverse = np.linalg.inv(R) / lengths[:, None]
    model.normalized_cov_params, model.scale = inverse @ inverse.T, scale
    model.weights = model.M.weights(residual / scale)
    made = RLMResults(model, params, model.normalized_cov_params, scale, cov={cov!r})
    made.df_model = float(X.shape[1] - {k})
    made.fit_history = {{"params": [params], "scale": [scale], "iteration": 0}}
    made.fit_options = {{
        "cov": {cov!r}, "scale_est": "mad", "norm": "HuberT", "conv": "network weights"
    }}
    return made
'''
