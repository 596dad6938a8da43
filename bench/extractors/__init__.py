"""Feature extractors: frozen networks that a metric compares images by.

The `extractor` section of a metric names the network. With the key `steps` it learns a surrogate
task on the data set (`SurrogateNetwork` in `bench.extractors.protocol`; `bench.runs.extractors`
trains it once and stores it), with the key `state_dict` others have trained it
(`bench.extractors.pretrained`).
"""
