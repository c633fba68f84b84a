"""Effects of the same patients: the covariance that an assumed correlation of their errors gives them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from metastrata.errors import Fault, InputError, unknown
from metastrata.evidence.covariances import Pair
from metastrata.evidence.effect import Effect
from metastrata.evidence.recipes import Options
from metastrata.evidence.studies import Studies


def check_cluster(cluster: object, rho: object) -> tuple[str, float]:
    """The column and the correlation asked for, or why they cannot be meant.

    Examples
    --------
    >>> check_cluster("trial", 0.6)
    ('trial', 0.6)
    """
    if not isinstance(cluster, str):
        raise InputError(f"cluster is the name of a column, such as 'trial' (got {cluster!r})")
    number = isinstance(rho, (int, float, np.floating)) and not isinstance(rho, bool)
    if not number or not -1 < float(rho) < 1:  # type: ignore[arg-type]
        raise InputError(f"rho is a correlation of sampling errors, between -1 and 1 without the ends (got {rho!r})")
    value = float(rho)  # type: ignore[arg-type]
    if value and not cluster:
        raise InputError(f"rho = {value:g} needs cluster: the column that says which effects are of the same patients")
    return cluster, value


def cluster_covariances(
    items: Sequence[Effect], known: Sequence[Pair], options: Options, studies: Studies
) -> tuple[tuple[Pair, ...], list[Fault]]:
    """The known covariances, and ``rho se_i se_j`` for two effects of one cluster and endpoint (vcalc of metafor).

    A pair that has a covariance keeps it; an effect whose cell is empty is independent.
    """
    if not options.cluster or not items:
        return tuple(known), []
    columns = dict.fromkeys(name for row in studies.rows for name in row.cells)
    if options.cluster not in columns:
        return tuple(known), [Fault(f"cluster: {unknown('column', options.cluster, columns)}", 1, options.cluster,
                                    code="F02")]  # fmt: skip
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        cell = item.cells.get(options.cluster)
        if cell is not None:
            groups[(item.endpoint, str(cell))].append(i)
    found = {(i, j): value for i, j, value in known}
    faults: list[Fault] = []
    for (endpoint, name), members in groups.items():
        lowest = -1 / (len(members) - 1) if len(members) > 1 else -1.0
        if options.rho <= lowest:
            message = (f"rho = {options.rho:g} is impossible for the {len(members)} effects of '{name}': the "
                       f"correlation of any two of them must be above {lowest:.3g}, or their matrix is not positive "
                       "definite")  # fmt: skip
            faults.append(Fault(message, None, options.cluster, items[members[0]].study, endpoint))
            continue
        for i, j in combinations(members, 2):
            found.setdefault((min(i, j), max(i, j)), options.rho * items[i].se * items[j].se)
    if groups and all(len(members) == 1 for members in groups.values()):
        message = f"cluster: '{options.cluster}' is different in every row of an endpoint: leave cluster out"
        faults.append(Fault(message, None, options.cluster))
    return tuple((i, j, value) for (i, j), value in sorted(found.items()) if value), faults
