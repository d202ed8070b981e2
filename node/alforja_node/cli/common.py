"""What the node's commands share: naming courses as people do."""

from alforja_node.offers import newest
from alforja_node.school import Node
from alforja_packaging.errors import RequestError
from alforja_packaging.layout import check_id


async def find_course(node: Node, text: str) -> tuple[str, str, bool]:
    """Read a course as a person writes it: (publisher, course, whether it is on offer).

    Raises RequestError when the publisher cannot be told.
    """
    offers = newest((await node.load()).offers)
    publisher, _, course = text.rpartition("/")
    check_id("course", course)
    if publisher:
        check_id("publisher", publisher)
        return publisher, course, (publisher, course) in offers
    publishers = sorted(one for one, name in offers if name == course)
    if len(publishers) == 1:
        return publishers[0], course, True
    if publishers:
        raise RequestError(f"course {course}: several publishers use this name", advice=_choices(publishers, course))
    raise RequestError(
        f"course {course}: is not on offer, as far as this node has heard",
        advice="see `alforja-node courses`, or write PUBLISHER/COURSE to want it all the same",
    )


async def find_subscribed(node: Node, text: str) -> tuple[str, str]:
    """Read the name of a subscribed course as a person writes it. Raises RequestError."""
    publisher, _, course = text.rpartition("/")
    found = sorted(key for key in await node.ledger.subscriptions() if key[1] == course and publisher in ("", key[0]))
    if len(found) == 1:
        return found[0]
    if found:
        raise RequestError(
            f"course {course}: several publishers use this name", advice=_choices([one for one, _ in found], course)
        )
    raise RequestError(f"course {text}: is not subscribed", advice="see `alforja-node status`")


def _choices(publishers: list[str], course: str) -> str:
    return "write " + " or ".join(f"`{publisher}/{course}`" for publisher in publishers)
