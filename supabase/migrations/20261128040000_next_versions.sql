-- An upload says how it joins its dataset and how it is to be read; one that would change nothing ends as unchanged.

alter table public.uploads add column how text not null default 'append' check (how in ('append', 'replace'));
alter table public.uploads add column options jsonb not null default '{}' check (jsonb_typeof(options) = 'object');
alter table public.uploads drop constraint uploads_state_check;
alter table public.uploads add constraint uploads_state_check
    check (state in ('receiving', 'accepted', 'unchanged', 'discarded'));
comment on column public.uploads.how is 'append: its rows win by series and time, others stay; replace: they alone make the version.';
