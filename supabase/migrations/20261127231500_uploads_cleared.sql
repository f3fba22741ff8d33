-- Staging lets go of an upload's bytes after the upload has ended; whoever dies in between leaves them to a sweep.
alter table public.uploads add column cleared boolean not null default false;
update public.uploads set cleared = true where state <> 'receiving';
create index uploads_left on public.uploads (created_at) where state <> 'receiving' and not cleared;
comment on column public.uploads.cleared is 'Whether staging holds nothing of it any more.';
