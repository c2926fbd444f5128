-- The event's own number: what came before what, whatever the clock said. None for what was heard before this step.
ALTER TABLE heard ADD COLUMN accepted INTEGER;
