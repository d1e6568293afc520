"""Studies: the log of typed events, its fold, artefacts, notes and the report. No torch here."""

from headtorch.core.study.places import default_name, resolve, studies_folder
from headtorch.core.study.state import StudyState, fold
from headtorch.core.study.study import Study, StudySummary, list_studies

__all__ = ["Study", "StudyState", "StudySummary", "default_name", "fold", "list_studies", "resolve", "studies_folder"]
