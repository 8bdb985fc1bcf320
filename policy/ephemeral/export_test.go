package ephemeral

// Prefix is what the keys begin with.
func (r *Redis) Prefix() string { return r.prefix }
