"""The embedded teacher: a real small vision-language model that installs with Foveate and sees pixels only.

It reads grid features of the frozen image encoder into a text space, and answers by naming what lies nearest there. It
was trained on drawn scenes (`components.teachers.pretraining`); on anything else, photographs above all, the encoder's
own ImageNet classifier is its evidence for things, and through their names for activities, with low confidence.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from components.base.artifacts import file_digest
from components.base.errors import UserError
from components.encoders import geometry, image, text
from components.encoders.cache import FeatureCache
from components.teachers.network import TeacherNetwork
from components.teachers.pretraining import novelty, vocabulary
from components.teachers.protocol import Answer, Composite, Identity, Question, Teacher, View
from components.teachers.sight import encoded

WEIGHTS = Path(__file__).with_name("embedded.safetensors")
SHA256 = "1ab110f4a953316f16daa8baab4f7f07cb0475be3f5a9b294fe6a9faaa0fd920"
BATCH = 128  # images looked at together
ALONE = "the embedded teacher looks at one picture at a time"


class EmbeddedTeacher(Teacher):
    """See `components.teachers.protocol.Teacher`. D = W = 384: grid and words are in the embedded encoder's text space.

    `features` is a cache of encoder features by sample id; other images are decoded and encoded.
    Raises UserError when the weights are not the shipped ones.
    """

    decoding = {}  # nothing is drawn
    space = text.REVISION

    def __init__(self, features: FeatureCache | None = None, weights: Path = WEIGHTS):
        if not weights.is_file():
            raise UserError("the teacher's weights are missing", where=str(weights), mend="foveate teacher train")
        digest = file_digest(weights)
        if weights == WEIGHTS and digest != SHA256:
            raise UserError(
                f"expected sha256 {SHA256[:12]}…, found {digest[:12]}…",
                where=str(weights),
                mend="restore the file from version control",
            )
        with safe_open(weights, "pt") as stored:
            self.card = json.loads(stored.metadata()["accuracy"])
            tensors = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
        self.network = TeacherNetwork()
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        self.network.eval().requires_grad_(False)
        self.familiar = {k[9:]: v for k, v in tensors.items() if k.startswith("familiar.")}
        self.identity = Identity("embedded", "foveate-scenes", f"{digest[:16]}+{image.REVISION}+{text.REVISION}")
        self.eyes, self.cached = self.identity.revision, features
        self._seen: OrderedDict[str, _Sight] = OrderedDict()

    @property
    def scales(self) -> tuple[float, float]:
        """Logit scales of scene and region cosines."""
        return tuple(float(self.network.log_scale[k].exp()) for k in ("scene", "region"))

    @cached_property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Its words for drawn scenes, by kind."""
        return vocabulary()

    @cached_property
    def vectors(self) -> dict[str, Tensor]:
        return {kind: torch.from_numpy(text.table(words)) for kind, words in self.names.items()}

    # What it sees -----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _look(self, views: Sequence[View]) -> list["_Sight"]:
        """What it makes of each image; the last few hundred are remembered, as questions come several to an image."""
        new = list({v.id: v for v in views if v.id not in self._seen}.values())
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            features = torch.from_numpy(encoded(batch, self.cached)).float()
            # Composites come by the thousand and may be rounded; answers must not depend on what shares their batch.
            rounded = image.native_autocast() if all(isinstance(v, Composite) for v in batch) else nullcontext()
            with rounded, sdpa_kernel(SDPBackend.MATH):  # the fused kernel is slow on CPU here
                tokens, scene = self.network(features)
                regions = self.network.regions(tokens)
            scene = F.normalize(scene.float(), dim=-1)
            strange = novelty(features.mean(1), self.familiar["mean"], self.familiar["basis"]) / self.familiar["limit"]
            for i, view in enumerate(batch):
                sight = _Sight(tokens[i].half(), regions[i].half(), scene[i], float(strange[i]))
                if sight.strange > 1.0:  # not a drawn scene: ask the classifier what it knows
                    self._recognise(view, sight)
                self._seen[view.id] = sight
        out = [self._seen[v.id] for v in views]
        while len(self._seen) > 512:
            self._seen.popitem(last=False)
        return out

    def _recognise(self, view: View, sight: "_Sight") -> None:
        """ImageNet evidence: the scene becomes the convex combination of its class names' embeddings."""
        probabilities = torch.from_numpy(image.imagenet_probabilities(centre_crop(view.load())[None])[0])
        top = probabilities.topk(5)
        names = [text.names_of_classes()[i] for i in top.indices]
        sight.classes = list(zip(names, top.values.tolist(), strict=True))
        meaning = F.normalize((top.values[:, None] * torch.from_numpy(text.embed(names))).sum(0), dim=0)
        trust = min(1.0, 1.0 / sight.strange**2)
        sight.scene = F.normalize(trust * sight.scene + (1 - trust) * meaning, dim=0)

    # The protocol -----------------------------------------------------------------------------------------------

    def grid(self, images: Sequence[View]) -> np.ndarray:
        """float32 [N, 1 + T, E], unit rows: the scene, then regions row by row."""
        return torch.stack([torch.cat([s.scene[None], s.regions.float()]) for s in self._look(images)]).numpy()

    def words(self, texts: Sequence[str]) -> np.ndarray:
        return text.embed(texts)

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        scenes = torch.stack([s.scene for s in self._look(images)])
        certain = torch.tensor([s.certainty for s in self._look(images)])[:, None]
        return torch.softmax(certain * self.scales[0] * scenes @ torch.from_numpy(text.embed(candidates)).T, 1).numpy()

    def stream(self, images: Sequence[View], questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """Fills the properties of the question's schema that it understands; without a schema, one sentence.

        Understood: `names` (texts), `scene` and `unlike` (sentences), `posture`, `things`, `place`, `activity` (lists
        of {"text", "probability"}), `nouns` (the same, of the region context["box"], fractions x1, y1, x2, y2).
        It looks at one image at a time: a question about several fails.
        """
        for start in range(0, len(questions), BATCH):
            rows = range(start, min(start + BATCH, len(questions)))
            for i, sight in zip(rows, self._look([images[i] for i in rows]), strict=True):
                yield i, self._answer(sight, questions[i]) if not images[i].beside else Answer("", failure=ALONE)

    @torch.inference_mode()
    def _answer(self, sight: "_Sight", question: Question) -> Answer:
        wanted = question.schema["properties"] if question.schema else {}
        reply = {name: value for name, value in self._reply(sight, question, wanted).items() if name in wanted}
        content = json.dumps(reply, ensure_ascii=False) if wanted else self._sentence(sight, 0)
        return Answer(content, tokens_in=len(question.prompt.split()), tokens_out=len(content.split()))

    def _reply(self, sight: "_Sight", question: Question, wanted: dict) -> dict:
        if "nouns" in wanted:
            box = torch.tensor(question.context.get("box") or [0.0, 0.0, 1.0, 1.0])
            region = self.network.regions(geometry.share(geometry.from_corners(box)) @ sight.tokens.float())
            kinds = ("agent", "thing")
            words = [w for k in kinds for w in self.names[k]]
            vectors = torch.cat([self.vectors[k] for k in kinds])
            nouns = _ranked(sight.certainty * self.scales[1] * vectors @ region, words)
            if sight.classes:
                nouns = [{"text": n, "probability": round(p, 4)} for n, p in sight.classes[:3]]
            return {
                "nouns": nouns,
                "positive": f"It is a {nouns[0]['text']}.",
                "negative": f"It is a {nouns[1]['text']}.",
            }
        return {
            "names": [thing["text"] for thing in self._things(sight)],
            "scene": self._sentence(sight, 0),
            "unlike": self._sentence(sight, 1),
            "posture": self._say(sight, "posture"),
            "things": self._things(sight),
            "place": self._say(sight, "place"),
            "activity": self._say(sight, "verb"),
            "agent": self._say(sight, "agent"),
        }

    def _say(self, sight: "_Sight", kind: str) -> list[dict]:
        return _ranked(sight.certainty * self.scales[0] * self.vectors[kind] @ sight.scene, self.names[kind])

    def _things(self, sight: "_Sight") -> list[dict]:
        if sight.classes:
            return [{"text": n, "probability": round(p, 4)} for n, p in sight.classes[:3]]
        return self._say(sight, "thing")

    def _sentence(self, sight: "_Sight", rank: int) -> str:
        """The picture in words (rank 0), or the same sentence made of its nearest wrong alternatives (rank 1)."""
        thing = self._things(sight)[rank]["text"]
        if sight.classes:
            return f"A picture that may show a {thing} (it does not look like anything this teacher was trained on)."
        agent, posture, place = (self._say(sight, k)[rank]["text"] for k in ("agent", "posture", "place"))
        return f"A {agent}, {posture}, with a {thing}, in the {place}."


class _Sight:
    """What the teacher made of one image."""

    __slots__ = ("classes", "regions", "scene", "strange", "tokens")

    def __init__(self, tokens: Tensor, regions: Tensor, scene: Tensor, strange: float):
        self.tokens, self.regions, self.scene, self.strange = tokens, regions, scene, strange
        self.classes: list[tuple[str, float]] = []

    @property
    def certainty(self) -> float:
        """1 for drawn scenes, falling for what looks unlike them: probabilities flatten."""
        return min(1.0, 1.0 / self.strange**2)


def centre_crop(picture: np.ndarray, size: int = 224) -> np.ndarray:
    """The middle square of uint8 [H, W, 3], as ImageNet classifiers expect it: short side to 256, then cut."""
    source = Image.fromarray(picture)
    scale = size * 8 / 7 / min(source.size)
    source = source.resize((max(size, round(source.width * scale)), max(size, round(source.height * scale))))
    left, top = (source.width - size) // 2, (source.height - size) // 2
    return np.asarray(source.crop((left, top, left + size, top + size)))


def _ranked(logits: Tensor, words: Sequence[str], most: int = 3) -> list[dict]:
    top = torch.softmax(logits, 0).topk(min(most, len(words)))
    return [{"text": words[i], "probability": round(float(p), 4)} for p, i in zip(*top, strict=True)]
