-- A hint about a dataset can be dismissed, by its key, and brought back.
alter table public.datasets add column hints_dismissed text[] not null default '{}' check (cardinality(hints_dismissed) <= 100);
grant update (hints_dismissed) on public.datasets to authenticated;
