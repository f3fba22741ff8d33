"""Mails that Supabase sends in our place look like ours."""

import tomllib

from storage.letters import SUPABASE, of_supabase

ROOT = SUPABASE.parent.parent


def test_supabase_is_given_our_mails() -> None:
    config = tomllib.loads((ROOT / 'supabase' / 'config.toml').read_text())
    told = config['auth']['email']['template']
    made = of_supabase()
    assert {name: one['subject'] for name, one in told.items()} == {
        name: subject for name, (subject, _) in made.items()
    }
    for name, (_, page) in made.items():
        assert (ROOT / told[name]['content_path']).read_text(encoding='utf-8') == page, 'run python -m storage.letters'
    assert {path.stem for path in SUPABASE.iterdir()} == set(made)


def test_each_has_its_link_as_a_button_and_to_copy() -> None:
    for _, page in of_supabase().values():
        assert page.count('href="{{ .ConfirmationURL }}"') == 2
        assert '>{{ .ConfirmationURL }}</a>' in page
        assert page.count('{{') == page.count('{{ .ConfirmationURL }}') == 3, 'nothing else is a template to Supabase'
