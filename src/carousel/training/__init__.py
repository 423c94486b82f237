"""The training loop: budgets, schedules, exact resume, several processes, one Task protocol."""

from carousel.training.history import HISTORY_FILE as HISTORY_FILE
from carousel.training.history import History as History
from carousel.training.history import Record as Record
from carousel.training.loop import TrainingResult as TrainingResult
from carousel.training.loop import train as train
from carousel.training.options import RunOptions as RunOptions
from carousel.training.progress import Progress as Progress
from carousel.training.task import Task as Task
