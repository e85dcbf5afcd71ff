"""The base of all row models; each noun's own stand in its module beside this one.

A row is a frozen model; `document` is its JSON form, as the stores keep it. What changes with every call (uses, last
use) is kept beside the rows, and answered by the typed helpers in `tables/`.
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
