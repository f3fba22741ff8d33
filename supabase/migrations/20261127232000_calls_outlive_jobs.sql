-- A call outlives its job as well: when the job goes, with its account or its forecast, the row stays until the call is
-- stopped and nothing can write under its prefix any more. And a call is all that its part needs: whoever goes on with it
-- need not cut the job into the same parts.

alter table public.calls
    add column prefix text,
    add column payload jsonb,
    add column started_at timestamptz;
update public.calls c
set prefix = concat_ws('/', 't/' || c.user_id || '/' || j.kind || '/' || j.id || '-' || c.attempt, nullif(c.part, 'whole'))
from public.jobs j
where j.id = c.job_id;
update public.calls c
set payload = j.payload || jsonb_build_object('prefix', c.prefix, 'memory', 384 * 1024 * 1024)
              || case when c.part = 'whole' then '{}'
                      else jsonb_build_object('request', j.payload -> 'request' || jsonb_build_object('models', array[c.part])) end
from public.jobs j
where j.id = c.job_id;

alter table public.calls
    alter column prefix set not null,
    alter column job_id drop not null,
    alter column user_id drop not null,
    drop constraint calls_user_id_fkey,
    drop constraint calls_job_id_user_id_fkey,
    add foreign key (job_id, user_id) references public.jobs (id, user_id) on delete set null,
    add check ((job_id is null) = (user_id is null));
drop index public.calls_user;
create index calls_orphaned on public.calls (dispatched_at) where job_id is null;
comment on column public.calls.prefix is 'Where it may write objects, below the folder of its tenant.';
comment on column public.calls.payload is 'What it was asked; null once its job is gone and it was stopped.';
comment on column public.calls.started_at is 'When it was first seen to run; null while it may still wait for a machine.';

-- Nothing ever wrote it; a program from before this file does not run on what follows.
alter table public.jobs drop column call_id;
