-- A forecast can be taken away and brought back. What was issued of it stays in the ledger, and counts in the track record.
alter table public.forecasts add column deleted_at timestamptz;
grant update (deleted_at) on public.forecasts to authenticated;
create index forecasts_deleted on public.forecasts (user_id, deleted_at desc) where deleted_at is not null;
