package notice

import "strings"

// browser names a browser and its system well enough for its owner to know them
// again; "" what it cannot tell. It is what the browser says of itself, so it
// proves nothing.
func browser(agent string) (name, system string) {
	return first(agent,
			"Edg/", "Microsoft Edge", "Firefox/", "Firefox", "Chrome/", "Chrome", "Chromium/", "Chromium", "Safari/", "Safari", "curl/", "curl"),
		first(agent,
			"Windows", "Windows", "iPhone", "iPhone", "iPad", "iPad", "Android", "Android", "Mac OS X", "macOS", "CrOS", "ChromeOS", "Linux", "Linux")
}

// first is the name behind the first mark that s contains; marks and names
// alternate.
func first(s string, marks ...string) string {
	for i := 0; i+1 < len(marks); i += 2 {
		if strings.Contains(s, marks[i]) {
			return marks[i+1]
		}
	}
	return ""
}
