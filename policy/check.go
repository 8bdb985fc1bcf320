package policy
func check(p *Policy, d *document) {}
