"""Small HICO-DET annotations in the JSON form and in the .mat form, and random predictions for them."""

import json

import numpy as np
from scipy.io import savemat


def annotations_of(images, kinds=None):
    """JSON records of [(name, [(interaction, person box, object box)])]; `kinds` {interaction: (verb, object)}."""
    records = []
    for number, (name, pairs) in enumerate(images, 1):
        things, hois = [], []
        for hoi, person, thing in pairs:
            verb, category = (kinds or {}).get(hoi, (hoi, 2))
            hois.append({"subject_id": len(things), "object_id": len(things) + 1, "category_id": verb,
                         "hoi_category_id": hoi})
            things += [{"bbox": list(person), "category_id": 1}, {"bbox": list(thing), "category_id": category}]
        records.append({"file_name": name, "img_id": number, "annotations": things, "hoi_annotation": hois})
    return records


def save_hico(folder, predictions, test, train=None):
    """P.jsonl, test.json and train.json."""
    (folder / "P.jsonl").write_text("".join(json.dumps(p) + "\n" for p in predictions))
    (folder / "test.json").write_text(json.dumps(test))
    if train is not None:
        (folder / "train.json").write_text(json.dumps(train))


def random_hico(rng, images):
    """Predictions and records; boxes near true ones, doubled, misplaced, of wrong interactions, with tied scores."""
    def box(limit=40):
        x, y = rng.integers(0, limit - 8, 2)
        return [int(x), int(y), int(x + rng.integers(4, 20)), int(y + rng.integers(4, 20))]

    def near(b):
        moved = [int(v) for v in np.array(b) + rng.integers(-2, 3, 4)]
        return [min(moved[0], moved[2]), min(moved[1], moved[3]), max(moved[0], moved[2]), max(moved[1], moved[3])]

    listed, predictions = [], []
    for i in range(images):
        pairs = [(int(rng.integers(1, 7)), box(), box()) for _ in range(rng.integers(0, 4))]
        pairs += [(h, near(p), near(t)) for h, p, t in pairs if rng.random() < 0.4]  # two true pairs that overlap
        found = []
        for hoi, person, thing in pairs:
            for _ in range(rng.integers(0, 4)):
                found.append({"hoi_category_id": hoi if rng.random() < 0.85 else int(rng.integers(1, 8)),
                              "person": near(person), "object": near(thing) if rng.random() < 0.8 else box(),
                              "score": float(rng.choice([0.1, 0.2, 0.5, 0.5, 0.9]))})
        listed.append((f"{i}.jpg", pairs))
        predictions.append({"image": f"{i}.jpg", "hois": [found[k] for k in rng.permutation(len(found))]})
    if not any(pairs for _, pairs in listed):
        listed[0] = ("0.jpg", [(1, box(), box())])
    return predictions, annotations_of(listed)


def structs(rows, fields):
    """Dictionaries as a MATLAB struct array."""
    out = np.zeros((1, len(rows)), [(name, object) for name in fields])
    for i, row in enumerate(rows):
        for name in fields:
            out[0, i][name] = row[name]
    return out


def save_mat(file, train, test, actions):
    """anno_bbox.mat of [(name, (width, height), [(interaction, invisible, people, things, joins)])] for both splits.

    Boxes count from 1, joins are [[person, object]] from 1; `actions` are (verb, object) words.
    """
    def corners(boxes):
        return structs([dict(zip(("x1", "y1", "x2", "y2"), map(float, b), strict=True)) for b in boxes],
                       ("x1", "x2", "y1", "y2"))

    def split(images):
        rows = []
        for name, (width, height), hois in images:
            of = [{"id": float(i), "bboxhuman": corners(p), "bboxobject": corners(t),
                   "connection": np.array(j, float).reshape(-1, 2), "invis": float(invisible)}
                  for i, invisible, p, t, j in hois]
            rows.append({"filename": name, "size": {"width": width, "height": height, "depth": 3},
                         "hoi": structs(of, ("id", "bboxhuman", "bboxobject", "connection", "invis"))})
        return structs(rows, ("filename", "size", "hoi"))

    words = structs([{"nname": thing, "vname": verb, "vname_ing": verb.removesuffix("e") + "ing"}
                     for verb, thing in actions], ("nname", "vname", "vname_ing"))
    savemat(file, {"bbox_train": split(train), "bbox_test": split(test), "list_action": words})
