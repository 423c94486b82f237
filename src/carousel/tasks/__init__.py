"""The tasks: each fits, evaluates, predicts, saves and loads in the same words."""

from carousel.tasks.loading import load as load
