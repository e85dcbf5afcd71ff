"""The base of all row models, which are in the modules of their nouns.

A row is a frozen model, and `document` is its JSON form, as stores keep it. Values that change with every call (uses,
last use) are counters and registers, which the typed helpers in `tables/` return with the row.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict

from shared.stores.port import Document


class RowModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def read(cls, document: Document) -> Self:
        return cls.model_validate(document)

    def document(self) -> Document:
        return self.model_dump(mode="json")
