"""An R script that refits the effects with metafor: the data inline, for a check by other hands and other code."""

from __future__ import annotations

import json
import math
import re

from metastrata.errors import InputError
from metastrata.evidence.effects import Effect, Effects
from metastrata.evidence.timepoints import several_visits

HEAD = """\
# Written by metastrata. Refits its effect sizes with metafor (https://www.metafor-project.org): an independent check.
# Each endpoint, all studies together and each stratum apart, by REML (with the Hartung-Knapp interval) and by
# DerSimonian-Laird (with the normal one). Effect measure: {measure}.
library(metafor)

"""
FIT = """
# The restricted likelihood may have two peaks, and from its usual start metafor climbs the nearest: several starts are
# tried and the highest peak is kept.
fit_once <- function(d, method) {
  test <- if (method == "REML") "knha" else "z"
  if (method == "DL") return(rma(yi, sei = sei, data = d, method = method, test = test))
  fits <- lapply(c(NA, 0, 0.25, 1, 4) * var(d$yi), function(start) {
    control <- list(maxiter = 1000, stepadj = 0.5)
    if (!is.na(start)) control$tau2.init <- start
    tryCatch(rma(yi, sei = sei, data = d, method = method, test = test, control = control), error = function(e) NULL)
  })
  fits <- Filter(Negate(is.null), fits)
  if (length(fits) == 0) stop("metafor could not fit ", method)
  fits[[which.max(sapply(fits, function(fit) as.numeric(logLik(fit))))]]
}

# Effects that are not independent, by study and endpoint, have the covariances listed in `known`.
covariance <- function(d) {
  V <- diag(d$sei^2, nrow(d))
  for (p in seq_len(nrow(known))) {
    a <- which(d$place == known$a[p])
    b <- which(d$place == known$b[p])
    if (length(a) && length(b)) V[a, b] <- V[b, a] <- known$covariance[p]
  }
  V
}

refit <- function(d, label) {
  if (nrow(d) == 1) {
    cat(sprintf("%-40s k = 1    y = %.6f  se = %.6f\\n", label, d$yi, d$sei))
    return(invisible())
  }
  V <- covariance(d)
  if (any(V[upper.tri(V)] != 0)) {
    d$effect <- seq_len(nrow(d))
    fit <- rma.mv(yi, V, random = ~ 1 | effect, data = d, method = "REML", test = "t")
    cat(sprintf("%-40s %-4s k = %-3d mu = %.6f  se = %.6f  [%.6f, %.6f]  tau = %.6f\\n",
                label, "REML", fit$k, fit$beta[1], fit$se, fit$ci.lb, fit$ci.ub, sqrt(fit$sigma2[1])))
    return(invisible())
  }
  for (method in c("REML", "DL")) {
    fit <- fit_once(d, method)
    cat(sprintf("%-40s %-4s k = %-3d mu = %.6f  se = %.6f  [%.6f, %.6f]  tau = %.6f  I2 = %.2f\\n",
                label, method, fit$k, fit$beta[1], fit$se, fit$ci.lb, fit$ci.ub, sqrt(fit$tau2), fit$I2))
  }
}

for (e in unique(effects$endpoint)) {
  d <- effects[effects$endpoint == e, ]
  refit(d, e)
  if (length(unique(d$stratum)) > 1)
    for (s in unique(d$stratum)) refit(d[d$stratum == s, ], paste0(e, ", ", s))
}
"""


def r_script(effects: Effects) -> str:
    """An R script with the effects inline that refits them with metafor.

    Parameters
    ----------
    effects : Effects
        Of one or more endpoints.

    Returns
    -------
    str
        The script: ``rma`` by REML and DL for each endpoint, and for each stratum if there are several. Numbers are
        written to the last digit.

    Raises
    ------
    InputError
        If there are no effects.

    Examples
    --------
    >>> from metastrata.evidence.effects import Effects
    >>> script = r_script(Effects.from_estimates(y=[0.1, 0.5], se=[0.1, 0.2]))
    >>> "yi = c(0.1, 0.5)" in script
    True
    """
    if not effects.items:
        raise InputError("no effects to write an R script for")
    if effects.repeated:
        raise InputError(several_visits(effects))
    columns = {
        "study": _texts([item.study for item in effects.items]),
        "stratum": _texts([item.stratum for item in effects.items]),
        "endpoint": _texts([item.endpoint for item in effects.items]),
        "yi": _numbers([item.y for item in effects.items]),
        "sei": _numbers([item.se for item in effects.items]),
    }
    frame = ",\n".join(f"  {name} = {value}" for name, value in columns.items())
    derived = "".join(f"#   {_comment(item)}\n" for item in effects.items)
    return (
        HEAD.format(measure=effects.measure)
        + f"effects <- data.frame(\n{frame},\n  stringsAsFactors = FALSE\n)\n"
        + "effects$place <- seq_len(nrow(effects))\n"
        + _known(effects)
        + f"# How they were come by:\n{derived}"
        + FIT
    )


def _known(effects: Effects) -> str:
    """The covariances between effects, by their places."""
    a, b, values = ([pair[i] for pair in effects.covariances] for i in range(3))
    numbers = [_numbers([float(x) for x in part]) if part else "numeric(0)" for part in (a, b, values)]
    places = [f"1 + {text}" if part else text for text, part in zip(numbers[:2], (a, b), strict=True)]
    return f"known <- data.frame(a = {places[0]}, b = {places[1]},\n  covariance = {numbers[2]})\n"


def _texts(texts: list[str]) -> str:
    return _call([_quoted(text) for text in texts])


def _quoted(text: str) -> str:
    """A text as R writes it; anything unusual as an escape, so that the script is plain ASCII."""
    if "\0" in text:
        raise InputError(f"the name {text!r} holds a character that R cannot")
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    plain = json.dumps(joined, ensure_ascii=True)
    # JSON writes characters beyond the first plane as two halves; R wants one code point.
    return re.sub(
        r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})",
        lambda m: f"\\U{0x10000 + ((int(m[1], 16) - 0xD800) << 10) + int(m[2], 16) - 0xDC00:08x}",
        plain,
    )


def _numbers(values: list[float]) -> str:
    if not all(math.isfinite(value) for value in values):
        raise InputError("an effect is not a finite number: no R script is written")
    return _call([repr(float(value)) for value in values])


def _call(parts: list[str]) -> str:
    """``c(...)``, broken into lines."""
    lines, line = [], ""
    for part in parts:
        if line and len(line) + len(part) > 100:
            lines.append(line)
            line = ""
        line += f"{part}, "
    return "c(" + "\n    ".join(text.rstrip() for text in [*lines, line.rstrip(", ")]) + ")"


def _comment(item: Effect) -> str:
    said = f"{item.study}, {item.endpoint}: {item.derivation} ({item.origin})"
    return " ".join(said.split()).encode("ascii", "replace").decode()
