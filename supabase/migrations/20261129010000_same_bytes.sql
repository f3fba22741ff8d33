-- Who uploads the very same file again is told where its bytes are.
create index uploads_content on public.uploads (user_id, sha256) where sha256 is not null;
