"""The commands on files in the field's own formats, scorers and the data doctor; `flows.cli` gives them places."""

import dataclasses
import sys
from collections.abc import Callable

import click

from components.base.errors import UserError
from flows.options import FILE, FOLDER, emit

SHOWN = 100  # findings of the doctor that people are shown


@click.option("--predictions", type=FILE, help="JSON Lines, one image a line (below).")
@click.option("--annotations", type=FILE, help="SWiG or imSitu JSON: image name to entry.")
@click.option("--space", type=FILE, help="The lexicon: imsitu_space.json, or one of its form.")
@click.option("--convention", type=click.Choice(["jsl", "coformer"]), help="Only this one (default: both).")
@click.option("--average", type=click.Choice(["verb", "image", "script"]), help="Only this one (default: all).")
@click.option("--groups", type=FILE, help="Groups of verbs or images (below; default: all images together).")
@click.option("--vocabulary", type=FILE, help="Nouns the model may say, one a line (default: those of the space).")
@click.option("--bootstrap", type=click.IntRange(0), default=0, metavar="N", help="Intervals from N resamples.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole report as JSON.")
@click.option("--self-test", is_flag=True, help="Only check the scorer against its worked examples.")
def situation(predictions, annotations, space, json_to, self_test, **settings) -> None:
    """Score predicted situations: the field's 14 numbers.

    \b
    foveate evaluate situation --self-test
    foveate evaluate situation --predictions P.jsonl --annotations dev.json --space imsitu_space.json
    foveate evaluate situation ... --groups groups.json --bootstrap 1000 --json scores.json

    \b
    A line of P: {"image": name, "verbs": [ranked, at least 5],
      "frames": {verb: {role: {"noun": synset or "", "box": [x1,y1,x2,y2] or null}}}}
    with pixels of the annotated image, and frames of the true verb and of the ranked five.
    A box may come with "exists", a logit that the convention cuts at 0.
    groups.json: {"seen": [verbs or images], "rare": [...], "unseen": [...]}, or {verb: "seen", ...};
    any names; groups may overlap. With seen and unseen the harmonic mean is reported too. A key
    "protocol" {"names": "known", ...} says what training knew of unseen verbs, and is repeated.

    \b
    What the field's evaluators leave open is decided so, and nothing is passed over in silence:
      image missing, twice, or not annotated   an error (a mean is over every image, once)
      no frame for the true verb, role missing an error (the field scores the frame of the true verb)
      a verb or role that the space lacks      an error
      a noun outside the vocabulary            the noun `oov`, counted in the report: never right
                                               in jsl, right in coformer if the truth is outside too
      frames of other verbs                    not needed for any number, not read
      annotations without boxes (imSitu)       numbers with boxes are null
    """
    if self_test:
        _self_test(json_to)
        return
    for option, given in (("--predictions", predictions), ("--annotations", annotations), ("--space", space)):
        if given is None:
            raise UserError("is needed", where=option, mend="see `foveate evaluate situation --help`")
    from components.evaluation import situation_report as scoring

    report = scoring.evaluate(scoring.Request(predictions, annotations, space, **settings))
    if json_to:
        emit(report, json_to)
    if json_to != "-":
        click.echo(scoring.table(report))


def _self_test(json_to: str | None) -> None:
    from components.evaluation.situation_fixtures import self_test

    results = self_test()
    if json_to:
        emit(dict(results), json_to)
    if json_to != "-":
        for name, right in results:
            click.echo(f"{'right' if right else 'WRONG'}  {name}")
        click.echo(f"{sum(right for _, right in results)} of {len(results)} worked examples are right")
    if not all(right for _, right in results):
        raise click.exceptions.Exit(1)


@click.option("--predictions", type=FILE, required=True, help="JSON Lines, one image a line (below).")
@click.option("--annotations", type=FILE, required=True, help="test_hico.json, or anno_bbox.mat (both splits).")
@click.option("--train", type=FILE, help="trainval_hico.json: counts for rare, RF-UC and NF-UC.")
@click.option("--setting", type=click.Choice(["rf-uc", "nf-uc", "uo", "uv"]), help="Score unseen and seen apart.")
@click.option("--lists", type=FILE, help="Unseen interactions by setting (below).")
@click.option("--space", type=FILE, help="imsitu_space.json of a split folder: P is predictions.jsonl of a run there.")
@click.option("--per-image", type=click.IntRange(0), default=100, show_default=True, metavar="N",
              help="Keep an image's best N detections; 0 keeps all, as the first evaluator did.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the whole report as JSON.")
def hico(json_to, **settings) -> None:
    """Score detections on HICO-DET: mAP in the default setting.

    \b
    foveate evaluate hico --predictions P.jsonl --annotations test_hico.json --train trainval_hico.json
    foveate evaluate hico --predictions P.jsonl --annotations anno_bbox.mat --setting rf-uc
    foveate evaluate hico ... --setting uo --lists unseen.json --json scores.json
    foveate evaluate hico --predictions predictions.jsonl --space hico-rf-uc/imsitu_space.json ...

    \b
    A line of P: {"image": name, "hois": [{"hoi_category_id": 1 to 600,
      "person": [x1,y1,x2,y2], "object": [x1,y1,x2,y2], "score": number}]}
    with pixels counted from 0. Every annotated image needs a line, if only with "hois": [].
    rf-uc and nf-uc are made by their rule from the training counts. uo and uv follow no rule:
    --lists {"uo": [numbers from 0], "uv": [...]}, the lists that GEN-VLKT and others publish.
    """
    from components.evaluation import hico_report as scoring

    report = scoring.evaluate(scoring.Request(**settings))
    if json_to:
        emit(report, json_to)
    if json_to != "-":
        click.echo(scoring.table(report))


@click.argument("dataset", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Where splits.json, or the folder of a protocol, is written.")
@click.option("--seed", default=0, show_default=True)
@click.option("--dev", type=float, help="Tuning images a seen label: a count, or a share below 1.")
@click.option("--test", type=float, help="Test images a seen label: a count, or a share below 1.")
@click.option("--protocol", type=click.Choice(["verbs", "triples", "rf-uc", "nf-uc", "uo", "uv"]),
              help="Split the published files instead (below).")
@click.option("--images", type=FOLDER, help="Where their images are (default: images/ beside the files).")
@click.option("--unseen", type=FILE, help="verbs: the unseen ones (JSON list, or one a line) instead of a draw.")
@click.option("--rare", type=FILE, help="verbs: the rare ones, instead of those with the fewest images.")
@click.option("--unseen-share", type=float, help="verbs: how many to draw (default: 0.1).")
@click.option("--rare-share", type=float, help="verbs: how many are rare (default: 0.2).")
@click.option("--pseudo-share", type=float, help="Seen verbs held out for tuning (default: verbs 0.1, HICO-DET 0).")
@click.option("--sparsity", type=int, default=10, show_default=True, help="triples: at most so often is rare.")
@click.option("--lists", type=FILE, help="uo, uv: unseen interactions, as for `foveate evaluate hico`.")
def split(dataset, out, seed, dev, test, protocol, unseen_share, rare_share, pseudo_share, **files) -> None:
    """Split into train, dev and test, with unseen verbs.

    \b
    foveate data split dataset --out splits
    foveate data split swig --protocol verbs --unseen l10.txt --out swig-l10
    foveate data split swig --protocol triples --out groups
    foveate data split hico_20160224_det --protocol rf-uc --out hico-rf-uc

    Without a protocol DATASET is an ingested dataset. With one it is a folder of published files: train.json, dev.json,
    test.json and imsitu_space.json for verbs (as L10 and L20 of Ov-SWiG) and triples (imSitu's sparsity), anno_bbox.mat
    for the settings of HICO-DET. The new folder has the files of SWiG, linked images, groups.json for the scorer and
    splits.json, which a run keeps to (`foveate run --data NEW`); triples writes groups only, of images, for dev and
    test. `foveate run --data FOLDER --protocol P` does both at once.

    Pseudo-unseen verbs are taken from train and test and kept for tuning; --pseudo-share 0 is the protocol as
    published, and leaves nothing to tune the preference for seen verbs with.
    """
    from components.pipeline import commands

    if protocol is None:
        click.echo(commands.split_dataset(dataset, out, seed, dev, test))
        return
    for option, given in (("--dev", dev), ("--test", test)):
        if given is not None:
            raise UserError("the published files say what is dev and test", where=option, mend="leave it out")
    from components.datasets.protocols import shares as shares_of

    shares = shares_of(protocol, unseen=unseen_share, rare=rare_share, pseudo=pseudo_share)
    click.echo(commands.split_files(dataset, out, protocol, seed=seed, shares=shares, **files))


@click.argument("annotations", nargs=-1, required=True, type=FILE)
@click.option("--space", type=FILE, help="The lexicon of SWiG or imSitu annotations: imsitu_space.json.")
@click.option("--images", type=FOLDER, help="Also decode every image and compare its size.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="For the images.")
@click.option("--mended", type=FOLDER, help="Write mended copies of SWiG files into this new folder.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write everything found as JSON.")
def doctor(annotations, space, images, workers, mended, json_to) -> None:
    """List what is wrong in annotations of SWiG, imSitu and HICO-DET.

    \b
    foveate data doctor train.json dev.json test.json --space imsitu_space.json --images images_512
    foveate data doctor anno_bbox.mat --json findings.json
    foveate data doctor trainval_hico.json --images images/train2015
    foveate data doctor train.json --space imsitu_space.json --mended sound

    What a file is, its content says; published files are recognised byte for byte. Every finding names file, image,
    field, role and mend. Exit code 1 where there is an error; warnings change no number. Nothing is changed, unless
    --mended asks for copies: there a faulty box is cut to its image, or dropped where nothing is left of it, an entry
    with another fault is left out, and each change is listed.
    """
    if mended and not space:
        raise UserError("is needed to tell which entries are sound", where="--space", mend="give imsitu_space.json")
    from components.datasets.doctor import examine

    found = examine(annotations, space, images, workers=workers, progress=_progress("images"))
    record = found.record()
    if mended:
        from components.datasets.mending import mend_files

        changes = mend_files(annotations, space, mended)
        record["changes"] = [dataclasses.asdict(c) for c in changes]
    if json_to:
        emit(record, json_to)
    if json_to != "-":
        for file in found.files:
            known = file["known_as"] and f"the published {file['known_as']}, byte for byte"
            figures = ", ".join(f"{file[k]:,} {k}" for k in ("images", "verbs", "nouns", "pairs", "interactions",
                                                             "invisible") if k in file)
            click.echo(f"{file['file']}: {file['form']}, {figures}; {known or 'not a published file'}")
        for listed in (found.findings, changes if mended else ()):
            for one in listed[:SHOWN]:
                click.echo(str(one))
            if len(listed) > SHOWN:
                click.echo(f"and {len(listed) - SHOWN:,} more: --json lists all")
        click.echo(f"{record['errors']:,} errors, {record['warnings']:,} warnings")
    if found.errors:
        raise click.exceptions.Exit(1)


def _progress(what: str) -> Callable[[int, int], None] | None:
    """A line on the terminal that counts; nothing where the output is no terminal."""
    if not sys.stderr.isatty():
        return None
    return lambda done, total: click.echo(f"\r{what}: {done:,} of {total:,}", err=True, nl=done == total)


@click.option("--scores", type=FILE, required=True, help="S.npz, see above.")
@click.option("--pairs", type=FILE, required=True, help="P.json, see above.")
@click.option("--mode", type=click.Choice(["exact", "reference"]), default="exact", show_default=True,
              help="Every bias that matters, or the 20 to 39 of the public evaluators.")
@click.option("--world", type=click.Choice(["closed", "open"]), default="closed", show_default=True)
@click.option("--top-k", default=1, show_default=True, help="Right if among so many guesses.")
@click.option("--validation", type=FILE, help="S.npz of validation images: chooses the feasibility threshold.")
@click.option("--threshold", type=float, help="The feasibility threshold, if it is known.")
@click.option("--draws", default=1000, show_default=True, help="Bootstrap draws for the intervals; 0 for none.")
@click.option("--seed", default=0, show_default=True, help="Seeds the draws.")
@click.option("--json", "json_to", metavar="OUT|-", help="Write the report as JSON.")
def composition(scores, pairs, json_to, **settings) -> None:
    """Score attribute-object pairs, seen against unseen: area, harmonic mean, seen, unseen, attribute, object.

    \b
    S.npz  (numpy.savez)  scores  float32 [N, P]  of N images for P pairs, in C order; -inf for never
                          labels  int [N]         index of the true pair, 0..P-1
    P.json {"pairs": [["wet", "dog"], ...],       P times attribute, object
            "seen": [true, ...],                  P times whether the pair has training images
            "candidates": [true, ...],            optional: may be guessed in the closed world (test and training pairs)
            "feasibility": [0.31, ...]}           optional: open world, unseen pairs below the threshold are not guessed

    Files larger than memory are read in blocks. The report holds auc, best_hm, best_seen, best_unseen,
    attribute_accuracy and object_accuracy in 0..1, with intervals and both modes.

    \b
    foveate evaluate composition --scores test.npz --pairs pairs.json --mode reference --json report.json
    foveate evaluate composition --scores test.npz --pairs all.json --world open --validation val.npz --json -
    """
    from components.pipeline.composition import report_text, score_file

    report = score_file(scores, pairs, **settings)
    if json_to:
        emit(report, json_to)
    if json_to != "-":
        click.echo(report_text(report))


SCORERS = {"situation": situation, "hico": hico, "composition": composition}
"""What `foveate evaluate` has below it."""
