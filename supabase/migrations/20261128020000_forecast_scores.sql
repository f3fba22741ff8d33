-- The track record: what became of issued forecasts. A version of a dataset is scored for each file that was issued from
-- an earlier one; a row is added for it, also when none of its values has come, and never changed.

alter table public.issued_forecasts
    add column code text check (length(code) <= 200),
    add column seed bigint,
    add unique (id, user_id);
comment on column public.issued_forecasts.code is 'The state of the code that made it: version and hash; null before that was kept.';
comment on column public.issued_forecasts.seed is 'What its random numbers began with; null before that was kept.';
alter table public.dataset_versions add unique (id, user_id);

create table public.forecast_scores (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    issued_id uuid not null,
    version_id uuid not null,
    points bigint not null check (points >= 0),
    reaches boolean not null,
    blocks jsonb not null check (jsonb_typeof(blocks) = 'array'),
    complete boolean not null default false,
    since timestamptz,
    until timestamptz,
    problem text,
    code text not null,
    scored_at timestamptz not null default now(),
    check (not complete or (since is not null and until is not null)),
    unique (issued_id, version_id),
    foreign key (issued_id, user_id) references public.issued_forecasts (id, user_id) on delete cascade,
    foreign key (version_id, user_id) references public.dataset_versions (id, user_id) on delete cascade
);
create index forecast_scores_user on public.forecast_scores (user_id, scored_at);
create index forecast_scores_version on public.forecast_scores (version_id);
comment on column public.forecast_scores.points is 'How many of its values the version knows.';
comment on column public.forecast_scores.reaches is 'Whether the version reaches back to the first step of the forecast.';
comment on column public.forecast_scores.blocks is 'Sums by block of the horizon, as core.analysis.record.score gives them.';
comment on column public.forecast_scores.complete is 'Whether the version goes on after the last step: only a changed value changes the score.';
comment on column public.forecast_scores.since is 'When the values of the forecast begin, exclusive.';
comment on column public.forecast_scores.until is 'When they end.';
comment on column public.forecast_scores.problem is 'Why it could not be scored.';

create trigger forecast_scores_immutable before update on public.forecast_scores
    for each row execute function public.refuse_change();

alter table public.forecast_scores enable row level security;
alter table public.forecast_scores force row level security;
revoke all on public.forecast_scores from anon, authenticated, public;
create policy worker on public.forecast_scores for all to variosync_worker using (true) with check (true);
create policy owner on public.forecast_scores for select to authenticated using (user_id = (select auth.uid()));
grant select, insert on public.forecast_scores to variosync_worker;
grant select on public.forecast_scores to authenticated;

-- Where the values of a measure differ from those of an earlier version: only there is a complete score taken anew.
create table public.version_changes (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles on delete cascade,
    version_id uuid not null,
    base_id uuid not null,
    target text not null,
    ranges jsonb not null check (jsonb_typeof(ranges) = 'array'),
    created_at timestamptz not null default now(),
    unique (version_id, target),
    foreign key (version_id, user_id) references public.dataset_versions (id, user_id) on delete cascade,
    foreign key (base_id, user_id) references public.dataset_versions (id, user_id) on delete cascade
);
create index version_changes_user on public.version_changes (user_id);
create index version_changes_base on public.version_changes (base_id);
comment on column public.version_changes.ranges is 'Pairs of times, the second one exclusive, in order.';

create trigger version_changes_immutable before update on public.version_changes
    for each row execute function public.refuse_change();

alter table public.version_changes enable row level security;
alter table public.version_changes force row level security;
revoke all on public.version_changes from anon, authenticated, public;
create policy worker on public.version_changes for all to variosync_worker using (true) with check (true);
create policy owner on public.version_changes for select to authenticated using (user_id = (select auth.uid()));
grant select, insert on public.version_changes to variosync_worker;
grant select on public.version_changes to authenticated;

-- The score that counts: of the versions that reach back to the first step of each of the forecast's series, the one that
-- knows most of its values, and of those the newest. So a correction counts, and a file of fewer series or days does not.
-- Versions above the one that is shown were undone, and do not count as long as they are.
create view public.forecast_record with (security_invoker = true) as
select i.user_id, i.id as issued_id, i.forecast_id, f.dataset_id, i.model, i.part, i.cutoff, i.issued_at, f.request,
       s.version_id, s.version, s.points, s.blocks, s.scored_at
from public.issued_forecasts i
join public.forecasts f on f.id = i.forecast_id
join public.datasets d on d.id = f.dataset_id
join public.dataset_versions c on c.id = d.current_version
cross join lateral (
    select s.version_id, v.number as version, s.points, s.blocks, s.scored_at
    from public.forecast_scores s
    join public.dataset_versions v on v.id = s.version_id
    where s.issued_id = i.id and s.points > 0 and v.number <= c.number
    order by s.reaches desc, s.points desc, v.number desc
    limit 1
) s;
revoke all on public.forecast_record from anon, authenticated, public;
grant select on public.forecast_record to authenticated, variosync_worker;

-- What was issued is never changed, whoever asks; it goes with its dataset or its account alone.
create function public.keep_issued() returns trigger language plpgsql set search_path = '' as $$
begin
    if tg_op = 'DELETE' then
        raise exception 'an issued forecast is kept' using errcode = 'insufficient_privilege';
    end if;
    if (new.id, new.user_id, new.dataset_id, new.version_id, new.request, new.result, new.issued_at)
       is distinct from (old.id, old.user_id, old.dataset_id, old.version_id, old.request, old.result, old.issued_at) then
        raise exception 'an issued forecast is never changed' using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;
revoke all on function public.keep_issued from public, anon, authenticated;
create trigger forecasts_issued before update on public.forecasts
    for each row when (old.issued_at is not null) execute function public.keep_issued();
create trigger forecasts_kept before delete on public.forecasts
    for each row when (old.issued_at is not null and current_user = 'authenticated') execute function public.keep_issued();

alter table public.jobs drop constraint jobs_kind_check;
alter table public.jobs add constraint jobs_kind_check check (kind in ('convert', 'forecast', 'score'));
