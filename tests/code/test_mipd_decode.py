"""Decoding opens the vocabulary: any verb, role or noun given as text, calibrated, with frames and boxes in pixels."""

import numpy as np
import pytest

from components.recipes.mipd.decode import decode, pixels

WORDS = np.eye(8, dtype=np.float32)
TABLES = {"verbs": WORDS[:3], "roles": WORDS[3:5], "nouns": WORDS[5:8]}
VOCABULARY = {"verbs": {"rowing": {"order": ["agent", "tool"], "evidence": 0.9, "group": "common"},
                        "surfing": {"order": ["agent"], "evidence": 0.0, "group": "unseen"},
                        "reading": {"order": ["agent", "tool"], "evidence": 0.0, "group": "pseudo_unseen"}},
              "roles": ["agent", "tool"],
              "nouns": {"": {"name": "nothing"}, "n1": {"name": "man"}, "n2": {"name": "paddle"}}}
DECODING = {"scale_verb": 10.0, "scale_noun": 10.0, "penalty": 0.0, "temperature": 1.0, "abstain_below": 0.5,
            "candidates": ["rowing", "surfing"]}


def encoder(scenes: list[list[float]]):
    scene = np.array(scenes, np.float32)
    return lambda images: {"scene": scene, "memory": np.zeros((len(scene), 4, 2), np.float32),
                           "whole": np.zeros((len(scene), 2), np.float32)}


def decoder(inputs):
    """Answers from its inputs: the agent is a man, a tool is a paddle unless the verb is surfing's; boxes are fixed."""
    is_agent = inputs["roles"][..., 3:4]
    noun = is_agent * WORDS[6] + (1 - is_agent) * WORDS[7]
    box = np.broadcast_to(np.array([0.5, 0.5, 0.5, 1.0], np.float32), (*noun.shape[:2], 4))
    exists = np.where(inputs["present"], 1.0, -1.0) * np.where(inputs["verb"][:, 1:2] > 0.5, -1.0, 1.0)
    return {"noun": noun, "box": box, "exists": exists}


def run(scene, **options):
    chosen = {**DECODING, **options.pop("decoding", {})}
    return decode(encoder([scene]), decoder, TABLES, VOCABULARY, chosen, None, [(100, 50)], **options)[0]


def test_frames_follow_the_verbs_order_and_boxes_are_pixels():
    found = run([1, 0.2, 0, 0, 0, 0, 0, 0])
    assert found["verbs"] == ["rowing", "surfing"] and found["confident"]
    assert sum(found["scores"]) == pytest.approx(1, abs=1e-3)
    frame = found["frames"]["rowing"]
    assert list(frame) == ["agent", "tool"]
    assert frame["agent"]["noun"] == "n1" and frame["tool"]["name"] == "paddle"
    assert frame["agent"]["box"] == [25.0, 0.0, 75.0, 50.0]
    assert found["frames"]["surfing"]["agent"]["box"] is None


def test_the_penalty_falls_on_verbs_with_evidence_only():
    scene = [1, 0.8, 0, 0, 0, 0, 0, 0]
    assert run(scene)["verbs"][0] == "rowing"
    assert run(scene, decoding={"penalty": 3.0})["verbs"][0] == "surfing"


def test_verbs_of_the_user_compete_alone_and_get_the_roles_that_are_found():
    feeding = WORDS[2] * 0.6 + WORDS[4] * 0.8
    found = run([0, 0, 0.6, 0, 0.8, 0, 0, 0], extra_verbs={"feeding a dog": feeding, "surfing": WORDS[1]})
    assert found["verbs"] == ["feeding a dog", "surfing"]
    assert set(found["frames"]["feeding a dog"]) == {"agent", "tool"}


def test_nouns_of_the_user_join_the_vocabulary():
    oar = WORDS[7] * 1.01
    frame = run([1, 0, 0, 0, 0, 0, 0, 0], extra_nouns={"oar": oar})["frames"]["rowing"]
    assert frame["tool"]["name"] == "oar" and frame["tool"]["noun"] == "oar"


def test_the_true_verbs_frame_is_added_when_scoring():
    assert "reading" in run([1, 0, 0, 0, 0, 0, 0, 0], also=[["reading"]])["frames"]


def test_roles_of_the_user_stand_in_every_frame_and_stay_where_they_find_nothing():
    helper = WORDS[3] * 0.6 + WORDS[1] * 0.8
    found = run([1, 0.2, 0, 0, 0, 0, 0, 0], extra_roles={"tool": WORDS[4], "helper": helper},
                extra_verbs={"rowing": WORDS[0], "feeding a dog": WORDS[2]})
    assert all(list(frame) == ["tool", "helper"] for frame in found["frames"].values()) and len(found["frames"]) == 2
    assert found["frames"]["rowing"]["tool"]["name"] == "paddle"
    # the second verb is not drawn anywhere: its roles stay all the same
    far = run([0, 1, 0, 0, 0, 0, 0, 0], extra_roles={"tool": WORDS[4]}, extra_verbs={"sleeping": WORDS[1]})
    assert far["frames"]["sleeping"]["tool"]["box"] is None


def test_nothing_fits_is_said_whatever_the_number_of_names():
    bar = {"fits": [1.0, -5.0], "abstain_below": 0.5}  # half sure at a logit of 5, a cosine of 0.5
    assert not run([0.1, 0.1, 0, 0, 0, 0, 0, 0], decoding={"abstain_below": 0.6})["confident"]  # an older bundle
    near, far = run([0.9, 0, 0, 0, 0, 0, 0, 0], decoding=bar), run([0.2, 0.1, 0, 0, 0, 0, 0, 0], decoding=bar)
    assert near["confident"] and near["fits"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    assert not far["confident"] and far["fits"] == pytest.approx(1 / (1 + np.exp(3)), abs=1e-3)
    alone = run([0.2, 0.1, 0, 0, 0, 0, 0, 0], decoding=bar, extra_verbs={"rowing": WORDS[0]})
    assert alone["scores"] == [1.0] and not alone["confident"]  # the only name, and still not one that fits


def test_confidences_of_nouns_and_boxes_are_calibrated_and_say_which_is_which():
    plain = run([1, 0.2, 0, 0, 0, 0, 0, 0])["frames"]["rowing"]["agent"]
    chance = np.exp(10) / (np.exp(10) + 2)
    assert plain["score"] == pytest.approx(chance, abs=1e-3) and plain["box_score"] is None  # nobody has measured it
    modest = {"noun_right": [0.5, -1.0], "box_right": [2.0, 0.1, 3.0]}
    frames = run([1, 0.2, 0, 0, 0, 0, 0, 0], decoding=modest)["frames"]
    found, evidence = frames["rowing"]["agent"], np.log(0.9999 / 0.0001)
    assert found["score"] == pytest.approx(1 / (1 + np.exp(1 - 0.5 * evidence)), abs=1e-3)
    assert found["box_score"] == pytest.approx(1 / (1 + np.exp(-3 - 2 * np.log(0.5) - 0.1 * evidence)), abs=1e-3)
    assert frames["surfing"]["agent"]["box"] is frames["surfing"]["agent"]["box_score"] is None
    assert (found["noun"], found["box"]) == (plain["noun"], plain["box"])


def test_boxes_are_cut_to_the_image_and_vanish_when_nothing_is_left():
    assert pixels(np.array([0.0, 0.5, 0.5, 0.5]), (100, 100)) == [0.0, 25.0, 25.0, 75.0]
    assert pixels(np.array([-0.5, 0.5, 0.5, 0.5]), (100, 100)) is None


def test_many_images_and_verbs_are_decoded_in_chunks():
    scenes = [[1, 0, 0, 0, 0, 0, 0, 0]] * 150
    found = decode(encoder(scenes), decoder, TABLES, VOCABULARY, DECODING, None, [(10, 10)] * 150)
    assert len(found) == 150 and all(set(p["frames"]) == {"rowing", "surfing"} for p in found)
