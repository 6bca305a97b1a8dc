"""XML as the gateway writes and reads it: a safe writer over `xml.etree`, and a reader that looks at local names."""

import re
from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


Value: TypeAlias = "str | int | bool | Iterable[Field]"
Field: TypeAlias = "tuple[str, Value]"


class MalformedXmlError(ValueError):
    """The body is not XML, or not the document that was expected."""


def document(root: str, fields: Iterable[Field], *, namespace: str = S3_NAMESPACE) -> bytes:
    """Write a document: fields in order, nested where a value is an iterable of fields."""
    element = ElementTree.Element(root, {"xmlns": namespace} if namespace else {})
    _append(element, fields)
    return _serialise(element)


def text_document(root: str, text: str) -> bytes:
    """Write a document that is one element with text, as the bucket's location is."""
    element = ElementTree.Element(root, {"xmlns": S3_NAMESPACE})
    element.text = text
    return _serialise(element)


def _serialise(element: ElementTree.Element) -> bytes:
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return (declaration + ElementTree.tostring(element, encoding="unicode", short_empty_elements=False)).encode()


def _append(parent: ElementTree.Element, fields: Iterable[Field]) -> None:
    for name, value in fields:
        child = ElementTree.SubElement(parent, name)
        if isinstance(value, bool):
            child.text = "true" if value else "false"
        elif isinstance(value, str | int):
            child.text = _NOT_XML.sub("\ufffd", str(value))
        else:
            _append(child, value)


def parse(body: bytes, root: str) -> ElementTree.Element:
    """Read a document whose root has this local name, namespaces taken off, or raise `MalformedXmlError`."""
    try:
        # Bodies are bounded by the server's maximum, and expat itself limits entity expansion.
        element = ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError as error:
        raise MalformedXmlError(str(error)) from error
    for node in element.iter():
        node.tag = node.tag.rpartition("}")[2]
    if element.tag != root:
        raise MalformedXmlError(f"expected {root}, found {element.tag}")
    return element
