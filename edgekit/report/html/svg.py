"""matplotlib's SVG made fit for a page: colours from the style sheet, ids of its own, a title and a description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font: ([^;]*?)([\d.]+)px [^;]+")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def for_page(source: str, *, name: str, kind: str, title: str, description: str, colours: Mapping[str, str]) -> str:
    """The drawing as an element of an HTML page.

    Args:
        source: matplotlib's SVG document; its text is ours, cleaned before.
        name: unique on the page; all ids begin with it.
        kind: class of the element: ``wide`` or ``narrow``.
        title, description: for screen readers.
        colours: stand-in colour → CSS variable.
    """
    root = ElementTree.fromstring(source)  # noqa: S314 - written by our own library a moment ago
    for parent in list(root.iter()):
        for child in list(parent):
            # the metadata are of no use here; the style would hold for all of the page
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    used = _used(root)
    for element in root.iter():
        _repaint(element, colours)
        identifier = element.attrib.pop("id", None)
        if identifier in used:
            element.set("id", f"{name}-{used[identifier]}")
        if _LINK in element.attrib:
            element.set("href", f"#{name}-{used[element.attrib.pop(_LINK)[1:]]}")
        if "clip-path" in element.attrib:
            element.set(
                "clip-path", _REFERENCE.sub(lambda found: f"url(#{name}-{used[found[1]]})", element.attrib["clip-path"])
            )
    return _head(root, name, kind, title, description)


def _used(root: ElementTree.Element) -> dict[str, str]:
    """The ids that something refers to, each with a short one."""
    found: dict[str, str] = {}
    for element in root.iter():
        targets = _REFERENCE.findall(element.get("clip-path", ""))
        if _LINK in element.attrib:
            targets.append(element.attrib[_LINK][1:])
        for target in targets:
            found.setdefault(target, str(len(found)))
    return found


def _repaint(element: ElementTree.Element, colours: Mapping[str, str]) -> None:
    style = element.get("style")
    if style is not None:
        for stand_in, variable in colours.items():
            style = style.replace(stand_in, f"var({variable})")
        style = _FONT.sub(r"font-size: \2px", style)
        element.set("style", style.replace("; ", ";").replace(": ", ":"))
    for name in ("d", "transform", "x", "y", "points"):
        if name in element.attrib:
            value = _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), element.attrib[name])
            element.set(name, " ".join(value.split()))


def _head(root: ElementTree.Element, name: str, kind: str, title: str, description: str) -> str:
    for child, text in ((f"{name}-desc", description), (f"{name}-title", title)):
        inner = ElementTree.Element(f"{{{_SVG}}}{child.rpartition('-')[2]}", {"id": child})
        inner.text = text
        root.insert(0, inner)
    width, height = (float(root.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    root.attrib.clear()
    root.attrib.update(
        {
            "class": f"chart {kind}",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width:g}",
            "height": f"{height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title",
            "aria-describedby": f"{name}-desc",
        }
    )
    ElementTree.register_namespace("", _SVG)
    text = ElementTree.tostring(root, encoding="unicode")
    return text.replace(f' xmlns="{_SVG}"', "", 1)
