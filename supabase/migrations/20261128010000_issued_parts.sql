-- A forecast of many series is stored in several files, each of them immutable with a checksum of its own.

alter table public.issued_forecasts add column part integer not null default 0 check (part >= 0);
alter table public.issued_forecasts drop constraint issued_forecasts_forecast_id_model_key;
alter table public.issued_forecasts add constraint issued_forecasts_file unique (forecast_id, model, part);
comment on column public.issued_forecasts.part is 'Which of the files of a model this is, from 0; most have one.';
