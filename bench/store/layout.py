"""Names of the folders and files of results, and of what summaries hold."""

RUNS, EXTRACTORS, NETWORKS, WEIGHTS = "runs", "extractors", "networks", "weights"
HEADER, SUMMARY, FAILURE, TRACEBACK = "run.json", "summary.json", "failure.json", "traceback.txt"
CONFIG, ENVIRONMENT, HISTORY, PAIRS, CLASSES, FIGURE = (
    "config.yaml",
    "environment.json",
    "history.csv",
    "pairs.csv",
    "classes.csv",
    "figure.png",
)
VALIDATION = "validation.csv"
LANDMARKS = "landmarks.csv"
IMAGES, DISTANCES = "images.csv", "distances.csv"  # of tasks of single images
JUDGEMENTS = "judgements.csv"  # of the task perception
CURVES, VOXELS = "curves.csv", "voxels.csv"  # of the task changes
DATA = "data.json"  # what a run needs to be used without its data
SHOWN = "shown.npz"  # what the figure of a synthesis shows, for the panel of a report
ROBUSTNESS = "robustness.csv"  # written after the run, with its checksum beside it
PANELS = "panels"  # folder of figures of one pair under several runs
REGISTRATION = "registration"  # the task of runs whose record names none
FILES = "files"  # of a summary: CRC-32 by name
NETWORK = "network"  # of a summary: the network that its run shares, and how it was trained
WARNINGS = "warnings"  # of a summary: what numbers should be distrusted for, a sentence each
CODE = "code"  # of a summary: SHA-256 of files outside the suite whose code it ran, by module
TASK_TABLES = "task_tables"  # of a summary: SHA-256 of tables that the task reads, by option
BEST, LAST, PROGRESS = "best.safetensors", "last.pt", "progress.json"
OF_FOLDERS = {  # by which one is known that has lost its header
    *(SUMMARY, FAILURE, TRACEBACK, CONFIG, ENVIRONMENT, HISTORY, PAIRS, CLASSES, VALIDATION),
    *(LANDMARKS, IMAGES, DISTANCES, JUDGEMENTS, CURVES, VOXELS, DATA, SHOWN, ROBUSTNESS),
    *(BEST, LAST, PROGRESS),
}
