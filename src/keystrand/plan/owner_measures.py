"""Measures that name an owner where a layer has none: one for each layer and governing owner, not one for each gap."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from keystrand.formats.wording import counted, joined
from keystrand.model.estate import Estate, Layer, Owners
from keystrand.model.stages import MeasureKind, OwnershipGap
from keystrand.plan.schedule import Draft
from keystrand.plan.work import ASSIGN_OWNER_DAYS, LAST


def assign_owners(
    estate: Estate, gaps: Iterable[OwnershipGap], ranks: dict[str, int]
) -> tuple[list[Draft], dict[tuple[str, str, Layer], str]]:
    """Return one draft for each layer and governing owner, and which draft closes which gap."""
    owners: dict[tuple[str, str], Owners] = {("system", s.id): s.owners for s in estate.system}
    owners |= {("segment", s.id): s.owners for s in estate.segment}
    groups: dict[tuple[Layer, str | None], list[OwnershipGap]] = defaultdict(list)
    for gap in gaps:
        groups[gap.layer, owners[gap.noun, gap.id].governance].append(gap)
    made, closes = [], {}
    for (layer, governing), members in groups.items():
        draft = _assign_owner(layer, governing, members, ranks)
        made.append(draft)
        closes.update({(gap.noun, gap.id, gap.layer): draft.id for gap in members})
    return made, closes


def _assign_owner(layer: Layer, governing: str | None, gaps: Sequence[OwnershipGap], ranks: dict[str, int]) -> Draft:
    nouns = [counted(n, noun) for noun in ("system", "segment") if (n := sum(1 for gap in gaps if gap.noun == noun))]
    return Draft(
        id=f"assign-owner.{layer}" + (f".{governing}" if governing else ""),
        kind=MeasureKind.ASSIGN_OWNER,
        title=f"Name who owns {layer} of {joined(nouns)}",
        subject=layer.value,
        owner=governing,
        days=ASSIGN_OWNER_DAYS,
        rank=min((ranks.get(gap.id, LAST) for gap in gaps if gap.noun == "system"), default=LAST),
        reasons=(f"nobody owns this layer of {joined(sorted(gap.id for gap in gaps), most=12)}",),
        done_when=f"the estate names a team or role for {layer} of each of them",
        fallback="until then the governing owner decides" if governing else "until then nothing on this layer changes",
    )
