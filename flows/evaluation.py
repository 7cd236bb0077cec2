"""Flow: students and teacher on held-out images, with gate, plots and pictures."""

from prefect import flow, task

from components.pipeline import distillation, evaluation, gallery, published
from components.pipeline.plan import Plan

predict = task(evaluation.predict, name="predict", task_run_name="predict {variant}")
validate = task(evaluation.validate, name="validate")
teach = task(evaluation.score_teacher, name="score teacher")
draw = task(gallery.draw, name="draw")
score = task(published.score, name="published scores")


@flow(name="evaluation", persist_result=False)
def evaluate(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of the scores, the predictions' quality result and the pictures; of the field's scores where a protocol
    of the field made the data."""
    wanted, data = Plan(**plan), [made[k] for k in ("dataset", "splits", "features")]
    scores = {v: predict(wanted, run, *data[:2], made[f"student_{v}"], v)
              for v in distillation.variants(wanted, made["dataset"])}
    quality = validate(wanted, run, made["dataset"], scores["distilled"])
    teacher = teach(wanted, run, *data)
    shown = draw(wanted, run, made["dataset"], scores, teacher)
    return {**{f"scores_{v}": folder for v, folder in scores.items()}, "predictions_quality": quality,
            "teacher_scores": teacher, "gallery": shown,
            **({"published": score(wanted, run, scores["distilled"])} if published.told(wanted) else {})}
