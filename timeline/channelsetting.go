package timeline

import "encoding/json"

// ChannelSetting is the body of a setting of the kind [SettingChannel], whose id
// is the channel's name. The body of one of the kind [SettingRule] is the rule
// itself, in the words of the file of rules.
type ChannelSetting struct {
	// Config is the channel in the words of the file of rules, without what is
	// secret: url, secrets, routing_key.
	Config json.RawMessage `json:"config"`
	// Sealed are those, under a key that is not among the settings.
	Sealed []byte `json:"sealed"`
	// Host is where it leads.
	Host string `json:"host,omitempty"`
}
