package page

import "strings"

// browser names a browser and its system well enough for its owner to know it
// again. It is what the browser says of itself, so it proves nothing.
func browser(g *tongue, agent string) string {
	name := mark(agent, [][2]string{
		{"Edg/", "Microsoft Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chromium"},
		{"Safari/", "Safari"}, {"curl/", "curl"},
	})
	on := system(agent)
	switch {
	case name == "":
		return g.say("browser.unknown")
	case on == "":
		return name
	}
	return g.say("browser.on", "Browser", name, "System", on)
}

// system names what a browser says it runs on; "" for nothing known.
func system(agent string) string {
	return mark(agent, [][2]string{
		{"Windows", "Windows"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"},
		{"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
}

// mark is what the first of marks in s stands for.
func mark(s string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(s, m[0]) {
			return m[1]
		}
	}
	return ""
}
