"""Speech recognition: recordings and what was said in, a recogniser of one's own out."""

from carousel.tasks.speech_recognition.inspecting import (
    SoundInspectionOptions as SoundInspectionOptions,
)
from carousel.tasks.speech_recognition.model import Recognizer as Recognizer
from carousel.tasks.speech_recognition.options import RecognitionOptions as RecognitionOptions
from carousel.tasks.speech_recognition.recognition import ListeningOptions as ListeningOptions
from carousel.tasks.speech_recognition.recognition import Transcript as Transcript
from carousel.tasks.speech_recognition.recognition import Word as Word
from carousel.tasks.speech_recognition.report import Report as Report
from carousel.tasks.speech_recognition.streaming import Partial as Partial
from carousel.tasks.speech_recognition.streaming import RecognitionStream as RecognitionStream
