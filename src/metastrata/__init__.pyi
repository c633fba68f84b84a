from .errors import (
    Fault as Fault,
    InputError as InputError,
    MetastrataError as MetastrataError,
    ModelError as ModelError,
    PlanError as PlanError,
    PriorError as PriorError,
    SamplingError as SamplingError,
    TableError as TableError,
)
from .evidence.effects import Effects as Effects
from .evidence.effects import effect_sizes as effect_sizes
