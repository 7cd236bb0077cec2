"""How many scenes to draw, of which verbs."""

from dataclasses import dataclass

from components.base.errors import UserError
from components.datasets.scenes import lexicon


@dataclass(frozen=True, slots=True)
class DrawSpec:
    """How many scenes to draw. Growing a count adds scenes and keeps those that were there.

    `total_train` images are shared out over the seen verbs with a long tail (`lexicon.train_counts`); each seen verb
    gets `dev_per_verb` and `test_per_verb` more, each pseudo-unseen verb `pseudo_per_verb`, each unseen one
    `unseen_per_verb`.
    """

    seed: int = 0
    total_train: int = 2200
    dev_per_verb: int = 8
    test_per_verb: int = 16
    pseudo_per_verb: int = 20
    unseen_per_verb: int = 26

    def counts(self) -> dict[str, int]:
        """How many images to draw of each verb. Raises UserError for counts out of range."""
        for name in ("total_train", "dev_per_verb", "test_per_verb", "pseudo_per_verb", "unseen_per_verb"):
            if getattr(self, name) < 1:
                raise UserError("must be at least 1", where=name)
        held_out = self.dev_per_verb + self.test_per_verb
        try:
            train = lexicon.train_counts(self.total_train)
        except ValueError as error:
            raise UserError(str(error), where="total_train", mend="draw more") from error
        counts = {verb: count + held_out for verb, count in train.items()}
        counts |= dict.fromkeys(lexicon.PSEUDO_UNSEEN, self.pseudo_per_verb)
        counts |= dict.fromkeys(lexicon.UNSEEN, self.unseen_per_verb)
        return dict(sorted(counts.items()))
