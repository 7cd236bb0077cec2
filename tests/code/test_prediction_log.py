"""The prediction log keeps what it may, no more; it rotates, stays within its bound and survives its neighbours."""

import multiprocessing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from components.base.errors import UserError
from components.monitoring import log
from components.monitoring.log import PredictionLog, embeddings, read, rows

START = datetime(2026, 1, 1, tzinfo=UTC)


def prediction(verb: str = "surfing", score: float = 0.5) -> dict:
    frame = {"agent": {"noun": "n1", "name": "woman", "score": 0.9, "box": [1.0, 2.0, 30.0, 40.0]},
             "tool": {"noun": "", "name": "", "score": 0.4, "box": None}}
    return {"verbs": [verb, "other"], "scores": [score, 0.1], "confident": True,
            "frames": {verb: frame, "other": {}}, "image": "private.jpg"}


def add(to: PredictionLog, count: int, verb: str = "surfing") -> None:
    to.add(np.eye(count, 8), [prediction(verb)] * count, [b"pixels of a person"] * count)


def test_a_row_holds_the_answer_and_neither_name_nor_pixels(tmp_path):
    keeper = PredictionLog(tmp_path)
    add(keeper, 3)
    assert keeper.close() == 3 and keeper.close() == 0
    table = read(tmp_path, 10)
    assert len(table) == 3 and table["image"].null_count == 3
    assert table.drop(["row", "at", "embedding", "image"]).to_pylist()[0] == {
        "answer": "surfing", "score": 0.5, "confident": True, "boxes": 1, "nouns": 1}
    assert np.array_equal(embeddings(table), np.eye(3, 8))
    (file,) = tmp_path.glob("*.parquet")
    assert b"private" not in file.read_bytes() and b"pixels" not in file.read_bytes()


def test_images_are_kept_only_with_consent(tmp_path):
    keeper = PredictionLog(tmp_path, images=True)
    add(keeper, 2)
    keeper.close()
    assert read(tmp_path, 10)["image"].to_pylist() == [b"pixels of a person"] * 2


def test_a_share_is_sampled_and_images_stay_with_their_rows(tmp_path):
    keeper = PredictionLog(tmp_path, share=0.25, images=True)
    for i in range(400):
        keeper.add(np.full((1, 2), i), [prediction(score=i / 400)], [b"%d" % i])
    assert 60 <= keeper.close() <= 145  # 100 on average, seven standard deviations at most
    for row in read(tmp_path, 400).to_pylist():
        assert row["embedding"][0] == int(row["image"]) == round(row["score"] * 400)
    for share in (0, -1, 1.5):
        with pytest.raises(UserError, match="--log-share"):
            PredictionLog(tmp_path, share=share)


def test_the_newest_rows_are_read_in_order(tmp_path):
    for day in range(5):
        log._write(tmp_path, rows(np.eye(4, 8), [prediction(str(day))] * 4, at=START + timedelta(days=day)))
    table = read(tmp_path, 6)
    assert table["answer"].to_pylist() == ["3", "3", "4", "4", "4", "4"]
    assert len(read(tmp_path / "nothing", 6)) == 0


def test_many_small_files_are_joined_and_no_row_is_lost_or_doubled(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MANY", 8)
    for number in range(20):
        keeper = PredictionLog(tmp_path)
        add(keeper, 2, str(number))
        keeper.close()
    assert len(list(tmp_path.glob("*.parquet"))) < 8
    verbs = read(tmp_path, 1000)["answer"].to_pylist()
    assert verbs == [str(n) for n in range(20) for _ in range(2)]


def test_a_join_that_was_killed_counts_no_row_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MANY", 3)
    for number in range(3):
        log._write(tmp_path, rows(np.eye(1, 8), [prediction(str(number))]))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log._join(tmp_path)
    assert len(list(tmp_path.glob("*.parquet"))) == 4
    assert read(tmp_path, 10)["answer"].to_pylist() == ["0", "1", "2"]


def test_the_log_stays_within_its_bound_and_the_oldest_go_first(tmp_path):
    for number in range(30):
        keeper = PredictionLog(tmp_path, most=20_000)
        keeper.add(np.random.default_rng(number).random((20, 64)), [prediction(str(number))] * 20, [b""] * 20)
        keeper.close()
    sizes = [f.stat().st_size for f in tmp_path.glob("*.parquet")]
    assert sum(sizes) <= 20_000 and len(sizes) > 1
    assert read(tmp_path, 20)["answer"].to_pylist() == ["29"] * 20


def _write_some(folder, number: int, many: int) -> None:
    log.MANY = many
    for _ in range(15):
        keeper = PredictionLog(folder)
        add(keeper, 2, str(number))
        keeper.close()


def test_processes_log_side_by_side(tmp_path):
    context = multiprocessing.get_context("spawn")  # a fork would share the threads of whatever ran here before
    workers = [context.Process(target=_write_some, args=(tmp_path, n, 4)) for n in range(3)]
    for worker in workers:
        worker.start()
    while any(w.is_alive() for w in workers):
        read(tmp_path, 1000)  # a reader in between sees whole files, or none
    assert [w.exitcode for w in workers] == [0, 0, 0]
    verbs = read(tmp_path, 1000)["answer"].to_pylist()
    assert sorted(verbs) == sorted(str(n) for n in range(3) for _ in range(30))


def test_a_damaged_file_is_named(tmp_path):
    log._write(tmp_path, rows(np.eye(1, 8), [prediction()]))
    (file,) = tmp_path.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=f"{file.name}: is damaged"):
        read(tmp_path, 5)


def test_a_file_that_goes_while_it_is_read_is_looked_for_again(tmp_path, monkeypatch):
    for number in range(2):
        log._write(tmp_path, rows(np.eye(1, 8), [prediction(str(number))]))
    real, listed = log._files, []

    def once(folder):
        listed.append(real(folder))
        if len(listed) == 1:
            monkeypatch.setattr(log, "MANY", 2)
            log._join(folder)
        return listed[-1] if len(listed) == 1 else real(folder)

    monkeypatch.setattr(log, "_files", once)
    assert read(tmp_path, 5)["answer"].to_pylist() == ["0", "1"]
