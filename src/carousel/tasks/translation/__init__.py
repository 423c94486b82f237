"""Machine translation: sentence pairs in, a translator that says where each word comes from."""

from carousel.tasks.translation.inspecting import (
    SentenceInspectionOptions as SentenceInspectionOptions,
)
from carousel.tasks.translation.model import Translator as Translator
from carousel.tasks.translation.options import TranslationOptions as TranslationOptions
from carousel.tasks.translation.report import Report as Report
from carousel.tasks.translation.translation import Translation as Translation
