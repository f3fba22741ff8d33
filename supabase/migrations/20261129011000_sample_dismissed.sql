-- The way through the sample stays on Home until its user has seen enough of it, whatever becomes of the first steps.
alter table public.settings add column sample_dismissed_at timestamptz;
update public.settings set sample_dismissed_at = first_steps_dismissed_at where first_steps_dismissed_at is not null;
