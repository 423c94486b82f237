"""Language modelling: how likely a text is, token by token, and more text of its kind."""

from carousel.tasks.language_modeling.adaptation import AdaptationOptions as AdaptationOptions
from carousel.tasks.language_modeling.inspecting import (
    TextInspectionOptions as TextInspectionOptions,
)
from carousel.tasks.language_modeling.model import LanguageModel as LanguageModel
from carousel.tasks.language_modeling.options import (
    LanguageModelingOptions as LanguageModelingOptions,
)
from carousel.tasks.language_modeling.report import Report as Report
