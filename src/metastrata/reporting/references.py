"""What the report cites, by a short key: authors, year, where, DOI."""

from __future__ import annotations

REFERENCES: dict[str, tuple[str, str]] = {
    "hedges": (
        "Hedges LV. Distribution theory for Glass's estimator of effect size and related estimators. "
        "J Educ Stat 1981;6:107-128.",
        "10.3102/10769986006002107",
    ),
    "becker": (
        "Becker BJ. Synthesizing standardized mean-change measures. Br J Math Stat Psychol 1988;41:257-278.",
        "10.1111/j.2044-8317.1988.tb00901.x",
    ),
    "higgins": (
        "Higgins JPT, Thompson SG, Spiegelhalter DJ. A re-evaluation of random-effects meta-analysis. "
        "J R Stat Soc A 2009;172:137-159.",
        "10.1111/j.1467-985X.2008.00552.x",
    ),
    "dl": (
        "DerSimonian R, Laird N. Meta-analysis in clinical trials. Control Clin Trials 1986;7:177-188.",
        "10.1016/0197-2456(86)90046-2",
    ),
    "reml": (
        "Viechtbauer W. Bias and efficiency of meta-analytic variance estimators in the random-effects model. "
        "J Educ Behav Stat 2005;30:261-293.",
        "10.3102/10769986030003261",
    ),
    "hartung": (
        "Hartung J, Knapp G. A refined method for the meta-analysis of controlled clinical trials with binary "
        "outcome. "
        "Stat Med 2001;20:3875-3889.",
        "10.1002/sim.1009",
    ),
    "sidik": (
        "Sidik K, Jonkman JN. A simple confidence interval for meta-analysis. Stat Med 2002;21:3153-3159.",
        "10.1002/sim.1262",
    ),
    "pymc": (
        "Abril-Pla O, Andreani V, Carroll C, et al. PyMC: a modern and comprehensive probabilistic programming "
        "framework "
        "in Python. PeerJ Comput Sci 2023;9:e1516.",
        "10.7717/peerj-cs.1516",
    ),
    "nuts": (
        "Hoffman MD, Gelman A. The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian Monte Carlo. "
        "J Mach Learn Res 2014;15:1593-1623.",
        "",
    ),
    "rhat": (
        "Vehtari A, Gelman A, Simpson D, Carpenter B, Buerkner P-C. Rank-normalization, folding, and localization: "
        "an "
        "improved R-hat for assessing convergence of MCMC. Bayesian Anal 2021;16:667-718.",
        "10.1214/20-BA1221",
    ),
    "arviz": (
        "Kumar R, Carroll C, Hartikainen A, Martin O. ArviZ a unified library for exploratory analysis of Bayesian "
        "models "
        "in Python. J Open Source Softw 2019;4:1143.",
        "10.21105/joss.01143",
    ),
    "barg": (
        "Kruschke JK. Bayesian analysis reporting guidelines. Nat Hum Behav 2021;5:1282-1291.",
        "10.1038/s41562-021-01177-7",
    ),
    "robust": (
        "Sung L, Hayden J, Greenberg ML, Koren G, Feldman BM, Tomlinson GA. Seven items were identified for "
        "inclusion when "
        "reporting a Bayesian analysis of a clinical study. J Clin Epidemiol 2005;58:261-268.",
        "10.1016/j.jclinepi.2004.08.010",
    ),
    "prisma": (
        "Page MJ, McKenzie JE, Bossuyt PM, et al. The PRISMA 2020 statement: an updated guideline for reporting "
        "systematic "
        "reviews. BMJ 2021;372:n71.",
        "10.1136/bmj.n71",
    ),
    "grade": (
        "Guyatt GH, Thorlund K, Oxman AD, et al. GRADE guidelines: 13. Preparing summary of findings tables and "
        "evidence "
        "profiles: continuous outcomes. J Clin Epidemiol 2013;66:173-183.",
        "10.1016/j.jclinepi.2012.08.001",
    ),
    "furukawa": (
        "Furukawa TA, Leucht S. How to obtain NNT from Cohen's d: comparison of two methods. PLoS ONE 2011;6:e19070.",
        "10.1371/journal.pone.0019070",
    ),
    "chinn": (
        "Chinn S. A simple method for converting an odds ratio to effect size for use in meta-analysis. "
        "Stat Med 2000;19:3127-3131.",
        "10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M",
    ),
}
