"""The lupus analysis, step by step: a marimo notebook.

uv run marimo edit docs/lupus.py      work in it
uv run marimo run docs/lupus.py       look at it as a page
uv run python docs/lupus.py           run it as a script
"""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    from pathlib import Path

    import marimo as mo

    import metastrata as ms

    root = Path(__file__).resolve().parent.parent
    return mo, ms, root


@app.cell
def _(mo):
    mo.md("""
    # Mesenchymal stem cells for lupus

    Two randomised trials and two before/after studies say something of SLEDAI, a score of disease activity: lower is
    better. The two designs answer the same question with different flaws. Each is a stratum; the strata borrow from
    each other, and how much is an assumption.
    """)
    return


@app.cell
def _(ms, root):
    studies = ms.read_studies(root / "data" / "sle_msc.csv")
    effects = ms.effect_sizes(
        studies,
        measure="SMD",
        r=0.5,
        change_scores="convert",
        units={"urine_protein": {"g/24h": 1, "mg/24h": 0.001}},
        better={"sledai": "lower", "urine_protein": "lower"},
        endpoints=["sledai", "urine_protein"],
    )
    sledai = effects.endpoint("sledai")
    sledai  # noqa: B018
    return effects, sledai


@app.cell
def _(mo):
    scale = mo.ui.slider(0.05, 2.0, step=0.05, value=0.5, label="scale of the half-normal prior of omega")
    scale  # noqa: B018
    return (scale,)


@app.cell
def _(ms, scale):
    model = ms.Model(
        mean="exchangeable",
        heterogeneity="independent",
        priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": f"half_normal({scale.value:g})"},
    )
    model  # noqa: B018
    return (model,)


@app.cell
def _(mo, model, ms, sledai):
    fit = ms.fit(model, sledai, engine="exact", draws=500, seed=2018)
    mo.vstack([fit, ms.summary(fit, mid=0.5).query("quantity != 'theta'")])
    return (fit,)


@app.cell
def _(fit, mo, ms):
    labels = {"rct": "Randomised trials", "self_controlled": "Before/after"}
    liu = {"estimate": -1.76, "ci": (-2.00, -1.51), "source": "Liu 2018"}
    mo.vstack([ms.compare(fit, liu, labels), *(mo.md(e.sentence(labels)) for e in ms.explain(fit))])
    return labels, liu


@app.cell
def _(fit, labels, ms):
    ms.plot_forest(fit, title="SLEDAI", labels=labels, mid=0.5)
    return


@app.cell
def _(mo):
    mo.md("""
    The same as a report. It is refused if the fit is not reliable, and every number in it is checked against the
    results. `report.save("lupus.docx")` writes it for Word.
    """)
    return


@app.cell
def _(fit, labels, liu, ms):
    report = ms.report(fit, title="Mesenchymal stem cells for lupus: SLEDAI", labels=labels, mid=0.5, published=liu)
    report  # noqa: B018
    return (report,)


@app.cell
def _(fit, report):
    if __name__ == "__main__":
        print(fit)
        print(f"report of {len(report.html):,} characters")
    return


if __name__ == "__main__":
    app.run()
