"""The dialect as a tokenizer carries it: how a conversation becomes text (chat template), and a turn of the agent a
message with calls (response template). ChatML, as Qwen's models have it.

The text of a conversation is the beginning of the text of any longer one, so that an episode may be read turn by turn.
Role `tool` is shown as the user's; the agent's own turns are marked for a loss that counts them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_CONTENT = """\
{%- macro show(content) -%}
{%- if content is string -%}{{- content -}}
{%- else -%}
{%- for block in content -%}
{%- if block.type == 'image' or 'image' in block or 'image_url' in block -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}{{- block.text -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""
_MESSAGES = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- generation -%}
{%- if message.reasoning_content is defined -%}
{{- '<think>' + message.reasoning_content + '</think>\\n' -}}
{%- endif -%}
{%- if message.information is defined -%}
{{- '<information>' + message.information + '</information>\\n' -}}
{%- endif -%}
{%- if message.content is defined and message.content is not none -%}{{- show(message.content) -}}{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{{- '<' + call.function.name + '>' + call.function.arguments.value + '</' + call.function.name + '>' -}}
{%- endfor -%}
{{- '<|im_end|>' -}}
{%- endgeneration -%}
{{- '\\n' -}}
{%- else -%}
{{- '<|im_start|>' + ('user' if message.role == 'tool' else message.role) + '\\n' -}}
{{- show(message.content) + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def chat_template(system_prompt: str) -> str:
    """With the rules before a conversation that does not begin with any."""
    told = repr(f"<|im_start|>system\n{system_prompt}<|im_end|>\n")
    return f"{_CONTENT}{{%- if messages[0].role != 'system' -%}}{{{{- {told} -}}}}{{%- endif -%}}\n{_MESSAGES}"


def response_template(acting: Sequence[str]) -> dict[str, Any]:
    """Acting blocks become calls, the first of which counts: of a turn that is well formed, as `dialect.parse` has it.

    Of other turns it is more lenient: the library closes a block with any tag that closes one.
    """
    names = "|".join(acting)
    call = {"type": "function", "function": {"name": "{name}", "arguments": {"value": "{content}"}}}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
            "information": {"open_pattern": r"\s*<information>", "close": "</information>", "content": "text"},
            "tool_calls": {
                "open_pattern": rf"\s*<(?P<name>{names})>",
                "close_pattern": rf"</(?:{names})>",
                "repeats": True,
                "content": "text",
                "transform": call,
            },
            "content": {"close_pattern": r"\s*(?:<\|im_end\|>|<\|endoftext\|>)", "content": "text"},
        },
    }
