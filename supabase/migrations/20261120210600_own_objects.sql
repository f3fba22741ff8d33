-- A user may change their uploads in the database with their own token, and what an upload names is read for them.
alter table public.uploads add constraint uploads_own_object check (starts_with(object_key, 't/' || user_id || '/'));
