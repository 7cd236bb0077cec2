"""Flow: images to a dataset that passed its gate, with its splits, its version and its features."""

from prefect import flow, task

from components.pipeline import features, ingestion
from components.pipeline.plan import Plan

dataset = task(ingestion.make_dataset, name="ingest")
split = task(ingestion.split, name="split")
validate = task(ingestion.validate, name="validate")
version = task(ingestion.record_dataset, name="version")
encode = task(features.make_features, name="encode")


@flow(name="ingestion", persist_result=False)
def ingest(plan: dict, run: str) -> dict[str, str]:
    """Folders of the dataset, its splits, its quality result, its version and its image features."""
    wanted = Plan(**plan)
    images = dataset(wanted, run)
    parts = split(wanted, run, images)
    quality = validate(wanted, run, images, parts)
    return {"dataset": images, "splits": parts, "dataset_quality": quality, "dataset_version": version(run, images),
            "features": encode(run, images)}
