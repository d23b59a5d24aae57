/**
 * The chat template of a model that has read stories and knows no instructions. What was said, by either side, is the story so
 * far, and the model goes on with it: where the last message ends like a sentence with a new paragraph, else where it breaks off.
 * What a system message says is no part of a story.
 */
export const STORY_TEMPLATE: string = [
  "{{ bos_token }}",
  "{%- for message in messages if message['role'] != 'system' -%}",
  "{%- set said = message['content'] | trim -%}",
  "{{ said }}",
  "{%- if not loop.last or said[-1:] in '.!?\"' -%}{{ '\\n\\n' }}{%- endif -%}",
  "{%- endfor -%}",
].join("");
