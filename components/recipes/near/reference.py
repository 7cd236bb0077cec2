"""The teacher's own figures on a split, where asking it costs nothing: what the student is compared with."""

from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.recipes.near import naming
from components.recipes.near.scoring import measured
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import NotOffered, Teacher


def reference(teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
    """Measures of the names that the teacher gives to the images of a split, where it names them all.

    Raises NotOffered for a teacher that is paid by the request: the student exists so that it need not be asked.
    """
    if getattr(teacher, "paid", False):
        raise NotOffered("a paid teacher is not asked about test images", where=teacher.identity.name)
    dataset = Dataset(stage.dataset)
    ids = [i for i in getattr(Splits.load(stage.splits), split) if dataset.labels[i]]
    samples = {s.id: s for s in dataset.samples(ids, images=False)}
    asked = [naming.questions(samples[i], stage.config.ask.version, 1.0)[0] for i in ids]
    said = [naming.read(answer) for answer in teacher.answer([view(dataset, i) for i in ids], asked)] if ids else []
    if not ids or any(isinstance(s, str) for s in said):
        return {}
    names = [s["labels"][0] for s in said]
    return measured([dataset.names[i] for i in ids], names, [dataset.labels[i] for i in ids]).numbers
