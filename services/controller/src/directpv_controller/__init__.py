"""The controller: places volumes on drives, keeps the registry, leads or stands by."""
