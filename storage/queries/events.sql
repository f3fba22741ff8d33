-- name: event_publish
-- Tell every process that listens; the payload carries the channel, because names of channels are short.
select pg_notify('variosync_events', %(payload)s);
