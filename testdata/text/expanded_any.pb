
<3
)type.googleapis.com/tensorflow.VersionDef"serve