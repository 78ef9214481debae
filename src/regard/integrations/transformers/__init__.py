"""Hugging Face's transformers (5.0 and newer): our attention in their models, and their models before our lens.

    from regard.integrations.transformers import registered

    with registered():
        model = AutoModel.from_pretrained(FOLDER, attn_implementation="regard")

Both directions read one thing, what transformers hands to an attention function (`arguments.py`), as the parts of our
equation. Nothing here imports transformers before it is used.
"""

from regard.integrations.transformers.attention import NAME, register, registered, unregister
from regard.integrations.transformers.listening import belongs, listening_to

__all__ = ["NAME", "belongs", "listening_to", "register", "registered", "unregister"]
