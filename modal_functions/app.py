"""The Modal app: every function that the server calls by name."""

import modal

from core.settings import Settings
from modal_functions import data_processing, ml_inference

app = modal.App(Settings().modal_app).include(data_processing.app).include(ml_inference.app)
